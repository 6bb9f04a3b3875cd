// Makes the secrets that compose.yaml mounts, each once: `node deploy/secrets.mjs [folder]`, ./secrets unless told.
// DOMAIN is where clients reach the deployment (localhost unless set): the store's public URL, which is part of a secret, names it.
// Plain JavaScript without packages, so that any Node can run it before anything is installed.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = process.argv[2] || 'secrets'
const domain = process.env.DOMAIN || 'localhost'
const made = () => randomBytes(32).toString('hex')

const database = made()
const nats = made()
const store = { accessKey: randomBytes(10).toString('hex'), secretKey: made() }

const files = {
  secret: made(),
  ops_token: made(),
  postgres_password: database,
  database_url: `postgres://darkroom:${database}@postgres:5432/darkroom`,
  nats_conf: `http: 8222\nauthorization { user: darkroom, password: "${nats}" }`,
  nats_url: `nats://darkroom:${nats}@nats:4222`,
  s3_json: JSON.stringify({ identities: [{ name: 'darkroom', credentials: [store], actions: ['Admin', 'Read', 'Write', 'List'] }] }),
  s3_url: `http://${store.accessKey}:${store.secretKey}@s3:8333/pictures?path-style=1&plain=1&public-url=https://media.${domain}`,
}

// The folder is closed; the files in it are not, for each container reads them as a user of its own.
mkdirSync(folder, { recursive: true, mode: 0o700 })
const there = Object.keys(files).filter(name => existsSync(join(folder, name)))
if (there.length > 0) {
  console.error(`${folder} has ${there.join(', ')} already: nothing was changed. Passwords go in pairs, and what SECRET has sealed needs that SECRET.`)
  process.exitCode = 1
} else {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), `${text}\n`, { flag: 'wx', mode: 0o444 })
  console.log(`Made in ${folder}: ${Object.keys(files).join(', ')}. Keep a copy of \`secret\`: without it nothing sealed can be read.`)
}

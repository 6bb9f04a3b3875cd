/** Names that are paths, or would pass for the house itself. */
const reserved = new Set(
  `about account accounts admin administrator api app apps assets auth blog business careers contact copyright darkroom dashboard dev docs
  download email everyone explore faq feed followers following healthz help home hashtag hashtags info instance legal live localhost login
  logout mail me media metrics moderator news nobody notifications null oembed official openapi.json ops p places policy posts postmaster
  press privacy readyz register reels root search security sessions settings shop signin signup socket.io staff static status stories
  suggestions support system team terms trends tv undefined uploads user username usernames users v1 v2 verified webmaster www`.split(
    /\s+/,
  ),
)

/** Whether nobody may have this username (in lower case). */
export const isReserved = (username: string): boolean => reserved.has(username)

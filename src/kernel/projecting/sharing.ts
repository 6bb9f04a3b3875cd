/** A process that runs consumers, and the keys of those that it can run. */
export type Member = { readonly holder: string; readonly wants: ReadonlySet<string> }

/**
 * Who is to run what, computed alike by every process from the same rows: what runs stays where it is up to the share of its process, the rest goes to
 * whoever has least. Every consumer that a member wants is given to one.
 * @returns consumer's key → holder
 */
export function shareOut(
  consumers: readonly { readonly key: string; readonly holder: string | null }[],
  members: readonly Member[],
): ReadonlyMap<string, string> {
  const wanted = consumers
    .map(({ key, holder }) => ({ key, holder, candidates: members.filter(({ wants }) => wants.has(key)) }))
    .filter(({ candidates }) => candidates.length > 0)
    // Those with the least choice first, so that they do not come to members that are full of what others could do.
    .sort((a, b) => a.candidates.length - b.candidates.length || (a.key < b.key ? -1 : 1))
  const fair = new Map(members.map(({ holder }) => [holder, 0]))
  for (const { candidates } of wanted)
    for (const { holder } of candidates) fair.set(holder, fair.get(holder)! + 1 / candidates.length)
  const load = new Map(members.map(({ holder }) => [holder, 0]))
  const given = new Map<string, string>()
  const give = (key: string, holder: string): void => {
    given.set(key, holder)
    load.set(holder, load.get(holder)! + 1)
  }
  for (const { key, holder, candidates } of wanted) {
    // A sum of fractions comes out a little above or below the whole.
    const share = holder === null ? 0 : Math.ceil((fair.get(holder) ?? 0) - 1e-9)
    if (holder !== null && candidates.some(one => one.holder === holder) && load.get(holder)! < share) give(key, holder)
  }
  for (const { key, holder: before, candidates } of wanted) {
    if (given.has(key)) continue
    const [least] = candidates
      .map(({ holder }) => holder)
      .sort((a, b) => load.get(a)! - load.get(b)! || Number(b === before) - Number(a === before) || (a < b ? -1 : 1))
    give(key, least!)
  }
  return given
}

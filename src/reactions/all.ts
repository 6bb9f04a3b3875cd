import type { Commands } from '../commands/context.ts'
import type { EventStore } from '../kernel/ports/event-store.ts'
import type { Mailer } from '../kernel/ports/mail.ts'
import type { Reaction } from '../kernel/projecting/consumers.ts'
import type { Sweep } from '../kernel/sweeping.ts'
import type { Timer } from '../kernel/timers.ts'
import { keepAccounts } from './accounts.ts'
import { measureFanOuts } from './feed.ts'
import { discardPictures, mediaExpiry, removePictureFiles, sweepFiles } from './media.ts'
import { acceptRequests, askInstead } from './relationships.ts'

type Deps = { readonly commands: Commands; readonly mail: Mailer; readonly store: Pick<EventStore, 'read'> }

/** Everything that is done because something happened, once each. */
export const reactionsOf = (deps: Deps): readonly Reaction[] => [
  keepAccounts(deps),
  acceptRequests(deps),
  askInstead(deps),
  discardPictures(deps),
  removePictureFiles(deps),
  measureFanOuts(deps),
]

/** Everything that is done when its time has come. The commands are asked for when it fires, for they are made after the timers. */
export const timersOf = (commands: () => Commands): readonly Timer[] => [mediaExpiry(commands)]

/** Everything that is done now and then. */
export const sweepsOf = (deps: Omit<Deps, 'store'>): readonly Sweep[] => [
  sweepFiles(deps),
  { of: 'mails of long ago', atStart: true, run: () => deps.mail.sweep() },
]

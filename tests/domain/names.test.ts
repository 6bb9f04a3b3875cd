import { describe, it } from 'vitest'
import { NameHeld, NameReleased, NameReserved, name } from '../../src/domain/accounts/name.ts'
import { given } from '../support/domain.ts'

const ada = { accountId: 'ada', reservationId: 'r1' }
const bob = { accountId: 'bob', reservationId: 'r2' }
const at = '2026-01-01T12:00:00.000Z'
const later = '2026-01-08T12:00:00.000Z'
const reserved = NameReserved({ ...ada, at, until: null })
const claimed = NameReserved({ ...ada, at, until: later })

describe('a name', () => {
  it('is reserved while it is free', () =>
    given(name)
      .when({ type: 'Reserve', ...ada, at, until: null })
      .then([reserved]))
  it('is not reserved by a second', () =>
    given(name, reserved)
      .when({ type: 'Reserve', ...bob, at, until: null })
      .then([]))
  it('is reserved anew by nobody, not even by the same account', () =>
    given(name, reserved)
      .when({ type: 'Reserve', ...ada, reservationId: 'r3', at, until: null })
      .then([]))
  it('is held by who reserved it', () =>
    given(name, reserved)
      .when({ type: 'Hold', ...ada })
      .then([NameHeld(ada)]))
  it('is not held by who did not', () =>
    given(name, reserved)
      .when({ type: 'Hold', ...bob })
      .then([]))
  it('is taken over from a reservation that was abandoned', () =>
    given(name, reserved)
      .when({ type: 'Reserve', ...bob, at, until: null, inPlaceOf: 'r1' })
      .then([NameReserved({ ...bob, at, until: null })]))
  it('is not taken over once it is held', () =>
    given(name, reserved, NameHeld(ada))
      .when({ type: 'Reserve', ...bob, at, until: null, inPlaceOf: 'r1' })
      .then([]))
  it('is not taken over from another reservation than the abandoned one', () =>
    given(name, reserved)
      .when({ type: 'Reserve', ...bob, at, until: null, inPlaceOf: 'r0' })
      .then([]))
  it('is released by its tenure', () =>
    given(name, reserved, NameHeld(ada))
      .when({ type: 'Release', ...ada })
      .then([NameReleased(ada)]))
  it('is not released by an earlier tenure of the same account', () =>
    given(name, reserved, NameHeld(ada))
      .when({ type: 'Release', ...ada, reservationId: 'r0' })
      .then([]))
  it('is free once it is released', () =>
    given(name, reserved, NameHeld(ada), NameReleased(ada))
      .when({ type: 'Reserve', ...bob, at, until: null })
      .then([NameReserved({ ...bob, at, until: null })]))
})

describe('a claim', () => {
  it('stands until it lapses', () =>
    given(name, claimed)
      .when({ type: 'Reserve', ...bob, at, until: null })
      .then([]))
  it('may be taken by another from then on', () =>
    given(name, claimed)
      .when({ type: 'Reserve', ...bob, at: later, until: null })
      .then([NameReserved({ ...bob, at: later, until: null })]))
})

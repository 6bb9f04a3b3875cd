import { describe, it } from 'vitest'
import { FanOutResumed, FanOutStopped, fanOut } from '../../src/domain/feed/fan-out.ts'
import { given } from '../support/domain.ts'

const authorId = '6a1c6f0e-58d8-4b8e-9d4e-0c6d5a0f7b11'
const measured = (followers: number) => ({ type: 'Measure', authorId, followers, stopAt: 10, resumeAt: 8 }) as const
const stopped = FanOutStopped({ authorId, followers: 10 })
const resumed = FanOutResumed({ authorId, followers: 8 })

describe('fan-out', () => {
  it('goes on below the threshold', () => given(fanOut).when(measured(9)).then([]))
  it('stops at the threshold', () => given(fanOut).when(measured(10)).then([stopped]))
  it('stays stopped between the two thresholds', () => given(fanOut, stopped).when(measured(9)).then([]))
  it('is stopped once', () => given(fanOut, stopped).when(measured(11)).then([]))
  it('resumes at the lower threshold', () => given(fanOut, stopped).when(measured(8)).then([resumed]))
  it('stays resumed between the two thresholds', () => given(fanOut, stopped, resumed).when(measured(9)).then([]))
})

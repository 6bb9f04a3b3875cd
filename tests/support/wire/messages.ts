import code from '@eventstore/db-client/generated/code_pb.js'
import shared from '@eventstore/db-client/generated/shared_pb.js'
import status from '@eventstore/db-client/generated/status_pb.js'
import type { BatchAppendReq, BatchAppendResp, ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js'
import streams from '@eventstore/db-client/generated/streams_pb.js'
import any from 'google-protobuf/google/protobuf/any_pb.js'
import empty from 'google-protobuf/google/protobuf/empty_pb.js'
import type { Outcome, Place, Proposed, WireEvent } from './log.ts'

export const uuid = (text: string): InstanceType<typeof shared.UUID> => new shared.UUID().setString(text)

const identifier = (name: string): InstanceType<typeof shared.StreamIdentifier> =>
  new shared.StreamIdentifier().setStreamName(Buffer.from(name).toString('base64'))

export const nameOf = (id: InstanceType<typeof shared.StreamIdentifier> | undefined): string =>
  Buffer.from(id?.getStreamName_asU8() ?? []).toString()

export function eventMessage(event: WireEvent): ReadResp {
  const recorded = new streams.ReadResp.ReadEvent.RecordedEvent()
    .setId(uuid(event.id))
    .setStreamIdentifier(identifier(event.stream))
    .setStreamRevision(String(event.revision))
    .setCommitPosition(String(event.position))
    .setPreparePosition(String(event.position))
    .setData(event.data)
    .setCustomMetadata(event.metadata)
  recorded.getMetadataMap().set('type', event.type).set('content-type', event.contentType).set('created', '17000000000000000')
  const read = new streams.ReadResp.ReadEvent().setEvent(recorded).setCommitPosition(String(event.position))
  return new streams.ReadResp().setEvent(read)
}

export const confirmationMessage = (id: string): ReadResp =>
  new streams.ReadResp().setConfirmation(new streams.ReadResp.SubscriptionConfirmation().setSubscriptionId(id))

export const caughtUpMessage = (): ReadResp => new streams.ReadResp().setCaughtUp(new streams.ReadResp.CaughtUp())

export const checkpointMessage = ({ commit, prepare }: Place): ReadResp =>
  new streams.ReadResp().setCheckpoint(
    new streams.ReadResp.Checkpoint().setCommitPosition(String(commit)).setPreparePosition(String(prepare)),
  )

export const notFoundMessage = (name: string): ReadResp =>
  new streams.ReadResp().setStreamNotFound(new streams.ReadResp.StreamNotFound().setStreamIdentifier(identifier(name)))

export type FilterOptions = InstanceType<typeof streams.ReadReq.Options.FilterOptions>

/** What a filter lets through; everything where there is none. */
export function predicate(filter: FilterOptions | undefined): (event: WireEvent) => boolean {
  if (filter === undefined) return () => true
  const byStream = filter.hasStreamIdentifier()
  const expression = (byStream ? filter.getStreamIdentifier() : filter.getEventType())!
  const regex = expression.getRegex() === '' ? null : new RegExp(expression.getRegex())
  const prefixes = expression.getPrefixList()
  return event => {
    const text = byStream ? event.stream : event.type
    return regex === null ? prefixes.some(prefix => text.startsWith(prefix)) : regex.test(text)
  }
}

/** Where to read from; null: from the start. */
export function placeOf(request: ReadReq): Place | null {
  const position = request.getOptions()!.getAll()!.getPosition()
  return position === undefined
    ? null
    : { commit: Number(position.getCommitPosition()), prepare: Number(position.getPreparePosition()) }
}

export const proposedOf = (message: BatchAppendReq): Proposed[] =>
  message.getProposedMessagesList().map(event => ({
    id: event.getId()!.getString(),
    type: event.getMetadataMap().get('type')!,
    contentType: event.getMetadataMap().get('content-type')!,
    data: event.getData_asU8(),
    metadata: event.getCustomMetadata_asU8(),
  }))

function packed(message: { serializeBinary(): Uint8Array }, type: string): InstanceType<typeof any.Any> {
  const details = new any.Any()
  details.pack(message.serializeBinary(), `event_store.client.${type}`)
  return details
}

const failure = (details: InstanceType<typeof any.Any>, message: string): InstanceType<typeof status.Status> =>
  new status.Status().setCode(code.Code.UNKNOWN).setMessage(message).setDetails(details)

/** The answer to one append. */
export function answerMessage(request: BatchAppendReq, name: string, expected: number, outcome: Outcome): BatchAppendResp {
  const response = new streams.BatchAppendResp()
    .setCorrelationId(request.getCorrelationId())
    .setStreamIdentifier(identifier(name))
  if ('position' in outcome) {
    const place = new shared.AllStreamPosition()
      .setCommitPosition(String(outcome.position))
      .setPreparePosition(String(outcome.position))
    return response.setSuccess(
      new streams.BatchAppendResp.Success().setCurrentRevision(String(outcome.revision)).setPosition(place),
    )
  }
  const wrong = new shared.WrongExpectedVersion()
  if (outcome.current === -1) wrong.setCurrentNoStream(new empty.Empty())
  else wrong.setCurrentStreamRevision(String(outcome.current))
  if (expected === -1) wrong.setExpectedNoStream(new empty.Empty())
  else wrong.setExpectedStreamPosition(String(expected))
  return response.setError(failure(packed(wrong, 'WrongExpectedVersion'), 'WrongExpectedVersion'))
}

/** "Server Is Not Ready", a timeout of the commit: an answer that is none. */
export const busyMessage = (request: BatchAppendReq, name: string, timeout: boolean): BatchAppendResp =>
  new streams.BatchAppendResp()
    .setCorrelationId(request.getCorrelationId())
    .setStreamIdentifier(identifier(name))
    .setError(
      timeout
        ? failure(packed(new shared.Timeout(), 'Timeout'), 'Timeout')
        : failure(packed(new empty.Empty(), 'Empty'), 'Server Is Not Ready'),
    )

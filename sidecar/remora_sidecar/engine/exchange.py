"""The provider's side of a call: ask, watch the answer, pass it on, record it."""

import aiohttp
from aiohttp.http import RawResponseMessage

from remora.records import CallError, EndReason
from remora_sidecar.dialects.base import Dialect
from remora_sidecar.engine.answer_sink import AnswerSink, AnswerStart
from remora_sidecar.engine.attempts import Attempts
from remora_sidecar.engine.body_passage import BodyPassage
from remora_sidecar.engine.headers import end_to_end
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.recording import Recording
from remora_sidecar.engine.upstream import Answer
from remora_sidecar.engine.usage_asking import AskedUsage, UsageFilter
from remora_sidecar.model.exchange import AnswerHead

_CUT = CallError("provider_cut", "the provider cut its answer before it was whole")


class Exchange:
    """Carries one request to its provider and the answer to a sink."""

    def __init__(
        self,
        attempts: Attempts,
        recording: Recording,
        dialect: Dialect,
        asked_usage: AskedUsage | None = None,
    ) -> None:
        """Take the call; nothing is sent yet."""
        self.attempts = attempts
        self._recording = recording
        self._seen = recording.seen
        self._dialect = dialect
        self._asked_usage = asked_usage
        self._filter: UsageFilter | None = None

    async def ask(self, outgoing: Outgoing) -> Answer:
        """Get an answer; raises UpstreamError if none comes."""
        asked = self._asked_usage
        if asked is None:
            return await self.attempts.ask(outgoing)
        answer = await self.attempts.ask(asked.changed(outgoing))
        with self._seen.waiting:
            answer, refused = await asked.judged(answer)
        if not refused:
            return answer
        self._asked_usage = None
        self._seen.attempt_ended(answer.message.code, asked.refusal)
        self._seen.note("asked for usage in the stream; the provider refused, so it was not asked")
        self.attempts.abort()
        return await self.attempts.ask(outgoing)

    async def relay(self, answer: Answer, sink: AnswerSink) -> bool:
        """Pass the answer on.

        Returns:
            Whether the whole request had gone out, so that the agent may send another.
        """
        has_body = self._begin(answer, sink)
        if not has_body:
            self._recording.finish(EndReason.COMPLETED)
            sink.flush()
            return self.attempts.complete()
        message = answer.message
        length = None if message.chunked else content_length(message)
        idle_s = self.attempts.limits.idle_s
        passage = BodyPassage(answer.content, length, self._recording, sink, self._filter, idle_s)
        try:
            await passage.run()
        except aiohttp.ClientError as error:
            self._recording.finish(EndReason.PROVIDER_CUT, _cut(error))
            sink.write(self._filter.cut() if self._filter is not None else b"")
            sink.cut()
            return False
        return self.attempts.complete()

    def _begin(self, answer: Answer, sink: AnswerSink) -> bool:
        message = answer.message
        self._seen.attempt_ended(message.code)
        head = AnswerHead(message.code, message.raw_headers)
        self._recording.begin_answer(head, self._dialect)
        if self._asked_usage is not None:
            self._filter = self._asked_usage.filter(head)
        is_framed = message.chunked or self._filter is not None
        start = AnswerStart(
            status=message.code,
            reason=message.reason,
            headers=end_to_end(message.raw_headers, also=(b"content-length",) * bool(self._filter)),
            length=None if is_framed else content_length(message),
        )
        return sink.begin(start)


def _cut(error: aiohttp.ClientError) -> CallError:
    if isinstance(error, aiohttp.ServerTimeoutError):
        return CallError("idle_timeout", str(error))
    return _CUT


def content_length(message: RawResponseMessage) -> int | None:
    """Read how long the body is; None if the head does not say."""
    value = message.headers.get("Content-Length")
    return int(value) if value is not None else None

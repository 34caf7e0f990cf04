"""When a stream is asked for its usage on the agent's behalf, and what then comes back.

Beside the ``remora-*`` headers the only thing that is changed without a rule (DESIGN §6.1).
Who refuses the option is remembered and not asked again.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from aiohttp import ClientError

from remora.providers import Provider
from remora.records import CallError
from remora_sidecar.dialects.base import CallRequest, Dialect
from remora_sidecar.dialects.framing.decoding import decode_body, decoder_for
from remora_sidecar.dialects.framing.encoding import Encoder, encoder_for
from remora_sidecar.dialects.openai import chat as openai_chat
from remora_sidecar.dialects.openai.include_usage import NAMED, UsageRemover, asking_for_usage
from remora_sidecar.engine.outgoing import Outgoing
from remora_sidecar.engine.request_body import HeldBody
from remora_sidecar.engine.upstream import Answer, AnswerContent
from remora_sidecar.model.exchange import AnswerHead, RequestHead, header
from remora_sidecar.model.signature import is_signed

_KEPT_REFUSALS = 4096
_REFUSAL_BYTES = 64 * 1024
_REFUSING_STATUS = frozenset({400, 422})

_REFUSAL = CallError("stream_options_refused", "the provider does not take stream_options")

_Key = tuple[str, str]


class UsageAsking:
    """Knows who takes the option."""

    def __init__(self) -> None:
        """Start without refusals."""
        self._refusals: OrderedDict[_Key, None] = OrderedDict()

    def asked(
        self,
        provider: Provider,
        dialect: Dialect,
        request: CallRequest,
        head: RequestHead,
        body: bytes,
    ) -> "AskedUsage | None":
        """Give the request that asks for usage; None where it is not to be asked."""
        if not request.stream or request.states_usage or request.problem:
            return None
        if dialect.name != openai_chat.NAME or not provider.takes_include_usage:
            return None
        key = (head.host, request.model)
        is_sealed = header(head.headers, b"content-encoding") is not None or is_signed(head.headers)
        if key in self._refusals or is_sealed:
            return None
        changed = asking_for_usage(body)
        return AskedUsage(self, key, changed) if changed is not None else None

    def refused(self, key: _Key) -> None:
        """Remember who does not take it."""
        self._refusals[key] = None
        if len(self._refusals) > _KEPT_REFUSALS:
            self._refusals.popitem(last=False)


@dataclass(frozen=True, slots=True)
class AskedUsage:
    """One request with the option added."""

    asking: UsageAsking
    key: _Key
    body: bytes
    refusal: CallError = _REFUSAL

    def changed(self, outgoing: Outgoing) -> Outgoing:
        """Give the request as it goes out."""
        return replace(outgoing, body=HeldBody(self.body))

    async def judged(self, answer: Answer) -> tuple[Answer, bool]:
        """Tell whether the provider refuses the option.

        Returns:
            The answer, still whole, and whether it is such a refusal.
        """
        if answer.message.code not in _REFUSING_STATUS:
            return answer, False
        begun = await _beginning(answer.content)
        encoding = header(answer.message.raw_headers, b"content-encoding")
        text, _ = decode_body(encoding, begun, 16 * _REFUSAL_BYTES)
        refused = NAMED in text
        if refused:
            self.asking.refused(self.key)
        return Answer(answer.message, BegunBody(begun, answer.content)), refused

    def filter(self, head: AnswerHead) -> "UsageFilter | None":
        """Make what takes the traces out of the answer; None for what is no stream."""
        content_type = header(head.headers, b"content-type") or ""
        encoding = header(head.headers, b"content-encoding")
        encoder = encoder_for(encoding)
        if not content_type.lower().startswith("text/event-stream") or encoder is None:
            return None
        return UsageFilter(encoding, encoder)


class UsageFilter:
    """Takes the traces of the option out of an answer as it passes, compressed or not."""

    def __init__(self, encoding: str | None, encoder: Encoder) -> None:
        """Stand before the first byte."""
        self._decoder = decoder_for(encoding)
        self._encoder = encoder
        self._remover = UsageRemover()

    def passed(self, chunk: bytes, *, last: bool) -> bytes:
        """Give what the agent gets of a chunk."""
        data = b"".join([self._remover.feed(piece) for piece in self._decoder.feed(chunk)])
        if not last:
            return self._encoder.feed(data)
        data = self._encoder.feed(data + self._remover.flush())
        self._decoder.finish()
        # An encoded body that ends early must not look whole.
        return data if self._decoder.problem else data + self._encoder.finish()

    def cut(self) -> bytes:
        """Give what is left where the provider cuts its answer."""
        return self._encoder.feed(self._remover.flush())


class BegunBody:
    """An answer's body of which something was read already."""

    def __init__(self, begun: bytes, rest: AnswerContent) -> None:
        """Take what was read and what is to come."""
        self._begun = begun
        self._rest = rest

    def at_eof(self) -> bool:
        """Whether all was read."""
        return not self._begun and self._rest.at_eof()

    def read_nowait(self) -> bytes:
        """Return what is there."""
        begun, self._begun = self._begun, b""
        return begun or self._rest.read_nowait()

    async def readany(self) -> bytes:
        """Return what is there or comes next; raises aiohttp.ClientError at a cut."""
        begun, self._begun = self._begun, b""
        return begun or await self._rest.readany()

    def follow(self, follower: Callable[[], None] | None) -> None:
        """Have somebody called each time after something came."""
        self._rest.follow(follower)


async def _beginning(content: AnswerContent) -> bytes:
    begun = bytearray()
    try:
        while len(begun) < _REFUSAL_BYTES and (chunk := await content.readany()):
            begun += chunk
    except ClientError:
        return bytes(begun)  # who reads on meets the cut
    return bytes(begun)

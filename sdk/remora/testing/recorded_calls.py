"""Recorded exchanges as calls through a sidecar: where each one goes, and an agent that asks it.

For tests that carry a whole corpus. Knows the proxy and its certificate, nothing of its inside.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType, TracebackType
from typing import Self

from remora.providers import ProviderRegistry
from remora.testing.raw_agent import Fields, RawAgent, RawAnswer
from remora.testing.transcripts import Transcript

CORPUS_DIALECTS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "anthropic-messages": ("anthropic-messages",),
        "bedrock-converse": ("bedrock-converse",),
        "bedrock-invoke": ("bedrock-invoke",),
        "cohere": ("cohere-chat",),
        "gemini-generate": ("gemini-generate",),
        "openai-chat": ("openai-chat",),
        "openai-completions": ("openai-completions",),
        "openai-embeddings": ("openai-embeddings",),
        "openai-responses": ("openai-responses",),
        "other": ("openai-chat",),
    }
)
"""The corpus' files, and what those of its providers speak that are not built in."""

_PROVIDER = """\
apiVersion: remora.dev/v1alpha1
kind: LLMProvider
metadata: {{name: {name}}}
spec: {{hosts: ["{host}"], ports: [{port}], tls: {tls}, dialects: [{dialects}]}}
---
"""
_LOCAL = "recorded.example"
_BUILTIN = ProviderRegistry.builtin()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call goes."""

    tls: bool
    host: str
    port: int

    @property
    def is_builtin(self) -> bool:
        """Whether a provider that is built in is there."""
        if self.tls:
            return _BUILTIN.match_tls(self.host) is not None
        return _BUILTIN.match_plain(self.host, self.port) is not None

    @property
    def authority(self) -> str:
        """What the Host field says."""
        return self.host if self.tls else f"{self.host}:{self.port}"


def place_of(transcript: Transcript) -> Place:
    """Tell where a request goes; a local server of no known kind gets a name of its own."""
    tls = transcript.url.startswith("https:")
    host, _, port = transcript.host.partition(":")
    place = Place(tls, host, int(port or (443 if tls else 80)))
    return place if tls or place.is_builtin else replace(place, host=_LOCAL)


def target_of(transcript: Transcript) -> str:
    """The path and query of a request."""
    return f"{transcript.path}?{transcript.query}" if transcript.query else transcript.path


def tls_names(transcripts: Iterable[Transcript]) -> list[str]:
    """The names that a provider double needs certificates for; one at least."""
    names = {place.host for place in map(place_of, transcripts) if place.tls}
    return sorted(names or {_LOCAL})


def provider_documents(transcripts: Iterable[Transcript], dialects: Sequence[str]) -> str:
    """Write an LLMProvider, each ended by ``---``, for every host that nobody ships."""
    unknown = dict.fromkeys(place_of(transcript) for transcript in transcripts)
    documents = (
        _PROVIDER.format(
            name=f"recorded-{number}",
            host=place.host,
            port=place.port,
            tls=str(place.tls).lower(),
            dialects=", ".join(dialects),
        )
        for number, place in enumerate((p for p in unknown if not p.is_builtin), start=1)
    )
    return "".join(documents)


class RecordedAgent:
    """Asks recorded requests through a proxy, on one connection for each place."""

    def __init__(self, proxy: tuple[str, int], ca_pem: str) -> None:
        """Take where the sidecar listens, and the root that signs for it."""
        self._proxy = proxy
        self._ca_pem = ca_pem
        self._connections: dict[Place, RawAgent] = {}

    async def ask(self, transcript: Transcript, headers: Fields = ()) -> RawAnswer:
        """Ask what was asked, with more fields; read the answer to its end or cut."""
        place = place_of(transcript)
        connection = await self._connection(place)
        target, fields = self._wording(transcript, headers)
        body = transcript.request_body
        answer = await connection.ask(transcript.method, target, fields, body)
        if answer.cut:
            self._connections.pop(place).abort()
        return answer

    async def leave_after(
        self, transcript: Transcript, count: int, headers: Fields = ()
    ) -> RawAnswer:
        """Ask what was asked, read so many bytes of the body at least, and vanish."""
        place = place_of(transcript)
        connection = await self._connection(place)
        target, fields = self._wording(transcript, headers)
        body = transcript.request_body
        framing = [("Content-Length", str(len(body)))] if body else []
        await connection.send(transcript.method, target, [*fields, *framing], body)
        head = await connection.head()
        read = b""
        async for piece in connection.pieces(head):
            read += piece
            if len(read) >= count:
                break
        self._connections.pop(place).abort()
        return replace(head, body=read, cut=True)

    async def _connection(self, place: Place) -> RawAgent:
        if place not in self._connections:
            made = (
                RawAgent.through(self._proxy, place.host, ca_pem=self._ca_pem, port=place.port)
                if place.tls
                else RawAgent.connect(self._proxy)
            )
            self._connections[place] = await made
        return self._connections[place]

    def _wording(self, transcript: Transcript, headers: Fields) -> tuple[str, Fields]:
        place, target = place_of(transcript), target_of(transcript)
        fields = [("Host", place.authority), *transcript.request_headers, *headers]
        return (target if place.tls else f"http://{place.authority}{target}"), fields

    async def __aenter__(self) -> Self:
        """Give the agent itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Vanish."""
        for connection in self._connections.values():
            connection.abort()

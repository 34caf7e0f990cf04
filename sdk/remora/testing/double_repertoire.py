"""Which reaction a request gets: scripted ones first, then routes, transcripts, built-ins."""

import json
from collections import deque
from collections.abc import Iterable

from remora.testing.double_answer import (
    Answer,
    EchoWebSocket,
    Framing,
    RandomCuts,
    Repeated,
    TalkingWebSocket,
    answer_of,
    json_answer,
)
from remora.testing.double_connection import Reaction
from remora.testing.double_request import ReceivedRequest, RequestHead
from remora.testing.transcripts import Transcript

_BULK_PIECE = bytes(range(256)) * 4096
_Key = tuple[str, str, str, bytes | None]


def _sink(request: ReceivedRequest) -> Answer:
    facts = {"bytes": request.body_bytes, "sha256": request.body_sha256}
    return json_answer(json.dumps(facts).encode())


def _not_found(head: RequestHead) -> Answer:
    what = f"the provider double has no answer to {head.method} {head.path}"
    error = {"error": {"message": what, "type": "not_found", "param": None, "code": None}}
    return json_answer(json.dumps(error).encode(), status=404)


def _download(path: str) -> Answer | None:
    count = path.removeprefix("/bytes/")
    if count == path or not count.isdigit():
        return None
    body = Repeated(_BULK_PIECE, int(count))
    return Answer(headers=(("content-type", "application/octet-stream"),), body=body)


class Repertoire:
    """Everything a double can answer.

    In this order: the next scripted reaction; a route; a played transcript with the same
    method, host, target and body; a WebSocket echo; the standing answers (``/bytes/N``,
    ``/sink`` and the brain's); 404.
    """

    def __init__(self, standing: dict[tuple[str, str], Reaction]) -> None:
        """Start with what always stands behind everything else."""
        self._scripts: deque[Reaction] = deque()
        self._routes: dict[tuple[str, str], Reaction] = {}
        self._played: dict[_Key, deque[Answer]] = {}
        self._standing = {("POST", "/sink"): _sink, **standing}

    @property
    def scripts_left(self) -> int:
        """How many scripted reactions nobody asked for yet."""
        return len(self._scripts)

    def script(self, *reactions: Reaction) -> None:
        """React to the next requests, whatever they are, in this order."""
        self._scripts.extend(reactions)

    def route(self, method: str, path: str, reaction: Reaction) -> None:
        """React so to every request of a method and path."""
        self._routes[method, path] = reaction

    def play(
        self,
        transcripts: Iterable[Transcript],
        *,
        cuts: RandomCuts | tuple[int, ...] = (),
        framing: Framing | None = None,
    ) -> None:
        """Answer requests of recorded exchanges as recorded.

        Equal requests get their answers in the order given, the last one for ever. An
        exchange whose request body was not recorded answers any body.
        """
        for transcript in transcripts:
            target = (
                f"{transcript.path}?{transcript.query}" if transcript.query else transcript.path
            )
            body = transcript.request_body or None
            key = (transcript.method, transcript.host.lower(), target, body)
            answer = answer_of(transcript, cuts=cuts, framing=framing)
            self._played.setdefault(key, deque()).append(answer)

    def choose(self, head: RequestHead) -> Reaction:
        """Choose the reaction to a request by its head."""
        if self._scripts:
            return self._scripts.popleft()
        if (route := self._routes.get((head.method, head.path))) is not None:
            return route
        return self._recorded if self._played else self._otherwise(head)

    def _recorded(self, request: ReceivedRequest) -> Answer:
        head = request.head
        for body in (request.body, None):
            answers = self._played.get((head.method, head.host, head.target, body))
            if answers:
                return answers.popleft() if len(answers) > 1 else answers[0]
        reaction = self._otherwise(head)
        return _answered(reaction, request)

    def _otherwise(self, head: RequestHead) -> Reaction:
        if head.wants_websocket:
            return EchoWebSocket()
        standing = self._standing.get((head.method, head.path))
        return standing or _download(head.path) or _not_found(head)


def _answered(reaction: Reaction, request: ReceivedRequest) -> Answer:
    if isinstance(reaction, Answer):
        return reaction
    if isinstance(reaction, EchoWebSocket | TalkingWebSocket):
        return _not_found(request.head)
    return reaction(request)

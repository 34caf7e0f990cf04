"""How an answer looks on the wire: heads, chunks, trailers. Pure; used by `double_player`."""

from dataclasses import dataclass
from http import HTTPStatus

from remora.testing.double_answer import Answer, Fields, Framing, Interim, Repeated


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer as it will be written.

    Attributes:
        head: Bytes up to and with the empty line.
        has_body: The body is written.
        chunked: Each piece of it is one chunk.
        closes: The connection ends with the answer.
    """

    head: bytes
    has_body: bool
    chunked: bool
    closes: bool


def reason_of(status: int) -> str:
    """Return the standard reason phrase; empty for codes that have none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def head_bytes(status: int, reason: str | None, headers: Fields) -> bytes:
    """Write the head of an answer, headers exactly as given."""
    phrase = reason_of(status) if reason is None else reason
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def interim_bytes(interim: Interim) -> bytes:
    """Write an interim answer."""
    return head_bytes(interim.status, None, interim.headers)


def chunk(data: bytes) -> bytes:
    """Write one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Fields) -> bytes:
    """Write the end of a chunked body."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    return b"0\r\n" + lines.encode("latin-1") + b"\r\n"


def _own(headers: Fields, name: str) -> str | None:
    return next((value for key, value in headers if key.lower() == name), None)


def _resolved(answer: Answer) -> Framing:
    if answer.framing is not Framing.AUTO:
        return answer.framing
    if "chunked" in (_own(answer.headers, "transfer-encoding") or "").lower():
        return Framing.CHUNKED
    unknown = isinstance(answer.body, Repeated) and answer.body.total_bytes is None
    return Framing.CHUNKED if unknown else Framing.LENGTH


def _length(answer: Answer) -> int:
    if isinstance(answer.body, Repeated):
        if answer.body.total_bytes is None:
            raise ValueError("an endless body has no content-length")
        return answer.body.total_bytes
    return len(answer.body)


def _framing_fields(answer: Answer, framing: Framing) -> Fields:
    if framing is Framing.LENGTH and _own(answer.headers, "content-length") is None:
        return (("content-length", str(_length(answer))),)
    if framing is Framing.CHUNKED and _own(answer.headers, "transfer-encoding") is None:
        return (("transfer-encoding", "chunked"),)
    return ()


def plan(answer: Answer, method: str, *, keep_alive: bool) -> Plan:
    """Decide how to write an answer to a request of this method.

    Args:
        answer: What to write.
        method: The request's; answers to HEAD have no body.
        keep_alive: The request allows the connection to live on.
    """
    bodiless = answer.status in (204, 304)
    framing = _resolved(answer)
    closes = answer.close or not keep_alive or (framing is Framing.CLOSE and not bodiless)
    added = () if bodiless else _framing_fields(answer, framing)
    if closes and _own(answer.headers, "connection") is None:
        added = (*added, ("connection", "close"))
    return Plan(
        head=head_bytes(answer.status, answer.reason, answer.headers + added),
        has_body=not bodiless and method != "HEAD",
        chunked=framing is Framing.CHUNKED,
        closes=closes,
    )


def whole(answer: Answer, planned: Plan) -> bytes:
    """Write a simple answer as one piece of bytes."""
    if answer.verbatim is not None:
        return answer.verbatim
    if not planned.has_body:
        return planned.head
    body = b"".join(answer.pieces())
    if not planned.chunked:
        return planned.head + body
    return planned.head + (chunk(body) if body else b"") + last_chunk(answer.trailers)

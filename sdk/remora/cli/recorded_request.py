"""The request of a recorded call, as far as its record tells it. Pure."""

from typing import NamedTuple

from remora.cli.policy_question import UnsentRequest
from remora.records import Body, CallRecord

_GZIP = b"\x1f\x8b"

_WITHOUT_HEADERS = (
    "records keep no headers: what conditions read of them, and whether the call was signed, "
    "is not known; --header adds some"
)
_REDACTED = "the body was redacted before it was kept: its length and text differ a little"


class RecordedRequest(NamedTuple):
    """A request made of a record, and what it lacks."""

    request: UnsentRequest
    notes: tuple[str, ...]


def recorded_request(record: CallRecord) -> RecordedRequest:
    """Make the request of a recorded call again.

    Raises:
        ValueError: Its body was not kept, or not whole; the text says why.
    """
    body = record.request_body
    if body is None and record.request_bytes:
        raise ValueError(_why_no_body(record))
    if body is not None and body.truncated:
        kept, sent = len(body.content), body.original_bytes
        raise ValueError(f"only the first {kept} of its request's {sent} bytes were kept")
    request = UnsentRequest(
        method=record.method or "POST",
        url=record.url,
        headers=_headers(record, body),
        body=b"" if body is None else body.content,
    )
    notes = (_WITHOUT_HEADERS, *((_REDACTED,) if record.capture == "redacted" else ()))
    return RecordedRequest(request, notes)


def _why_no_body(record: CallRecord) -> str:
    if record.opaque:
        return "it was relayed without being read"
    if record.capture in ("", "metadata"):
        return "its policy kept no bodies (capture: metadata)"
    return "its request's body is not there any more"


def _headers(record: CallRecord, body: Body | None) -> tuple[tuple[str, str], ...]:
    """Give the headers that the record tells of."""
    headers = []
    if body is not None and body.content_type:
        headers.append(("Content-Type", body.content_type))
    if body is not None and body.content.startswith(_GZIP):
        headers.append(("Content-Encoding", "gzip"))
    if record.status_code == 101:
        headers.append(("Upgrade", "websocket"))
    return tuple(headers)

"""What a record may keep of what agents and providers said, before it leaves the engine."""

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from remora.records import Attempt, Body, CallError, CallRecord
from remora_sidecar.engine.redaction_ahead import RedactionAhead
from remora_sidecar.policy.redaction import Redactor, without_keys

_LONG_WORD: Final = re.compile(r"[A-Za-z0-9_-]{16}")
"""There is one in every key; hardly any URL has one, and each call has a URL."""
_KEPT_URLS = 1024


def fit_to_keep(
    record: CallRecord,
    redactor: Redactor | None,
    request_encoding: str,
    answer_encoding: str,
    ahead: RedactionAhead | None = None,
) -> CallRecord:
    """Return the record as it may be kept.

    Keys are taken out of every record's texts: providers repeat them in errors.

    Args:
        record: Of a call that ended, its bodies as they were on the wire.
        redactor: What policy takes out of bodies and texts; None where it redacts nothing.
        request_encoding: The content-encoding of the request's body; empty if it has none.
        answer_encoding: That of the answer's.
        ahead: Redacts the request's body already; None if nobody does.
    """
    changes: dict[str, Any] = {}
    if (url := _url(record.url)) != record.url:
        changes["url"] = url
    if record.error is not None:
        changes["error"] = _error(record.error, redactor)
    if record.attempts and any(attempt.error is not None for attempt in record.attempts):
        changes["attempts"] = tuple(_attempt(attempt, redactor) for attempt in record.attempts)
    if record.notes:
        changes["notes"] = tuple(_text(note, redactor) for note in record.notes)
    if redactor is not None:
        changes |= _bodies(record, redactor, request_encoding, answer_encoding, ahead)
    return replace(record, **changes) if changes else record


@lru_cache(maxsize=_KEPT_URLS)
def _url(url: str) -> str:
    return url if _LONG_WORD.search(url) is None else without_keys(url)


def _bodies(
    record: CallRecord,
    redactor: Redactor,
    request_encoding: str,
    answer_encoding: str,
    ahead: RedactionAhead | None,
) -> dict[str, Body]:
    found: dict[str, Body] = {}
    if record.request_body is not None:
        redacted = ahead.body() if ahead is not None else None
        request = redacted or redactor.redacted(record.request_body, request_encoding)
        found["request_body"] = request
    if record.response_body is not None:
        found["response_body"] = redactor.redacted(record.response_body, answer_encoding)
    return found


def _text(text: str, redactor: Redactor | None) -> str:
    return without_keys(text) if redactor is None else redactor.text(text)


def _error(error: CallError, redactor: Redactor | None) -> CallError:
    return CallError(_text(error.type, redactor), _text(error.message, redactor))


def _attempt(attempt: Attempt, redactor: Redactor | None) -> Attempt:
    if attempt.error is None:
        return attempt
    return replace(attempt, error=_error(attempt.error, redactor))

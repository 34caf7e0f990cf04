"""Answers as clients get them: the provider's, with what would trip a client put right."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from aiohttp import web

from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.openai_api.way import can_be_sent

_OF_THE_CONNECTION: Final = frozenset(
    {
        "connection", "content-encoding", "content-length", "keep-alive", "proxy-authenticate",
        "set-cookie", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Of the way to the provider; its cookies are its own affair."""


def client_headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """Give the fields of an answer that go on to the client."""
    return {
        name: value
        for name, value in answer.headers.items()
        if name.lower() not in _OF_THE_CONNECTION and can_be_sent(value)
    }


def errors_for_clients(answer: aiohttp.ClientResponse, body: bytes) -> web.Response:
    """Hand a failure on, in the shape that OpenAI's clients read."""
    headers = client_headers(answer)
    name = next((one for one in headers if one.lower() == "retry-after"), None)
    if name is not None:
        headers[name] = seconds_to_wait(headers[name], datetime.now(UTC))
    if not _is_readable(parse_json(body)):
        headers = {n: v for n, v in headers.items() if n.lower() != "content-type"}
        headers["Content-Type"] = "application/json"
        body = _shaped(answer.status, parse_json(body))
    return web.Response(status=answer.status, body=body, headers=headers)


def seconds_to_wait(value: str, now: datetime) -> str:
    """Say as a number of seconds when to try again: some clients can't read dates."""
    try:
        return value if float(value) >= 0 else "0"
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return "1"
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return str(max(0, round((at - now).total_seconds())))


def _is_readable(fields: Any) -> bool:
    error = fields.get("error") if isinstance(fields, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str)


def _shaped(status: int, fields: Any) -> bytes:
    error: Mapping[str, Any] = {
        "message": _message(fields) or f"the provider answered with status {status}",
        "type": "api_error" if status >= 500 else "invalid_request_error",
        "param": None,
        "code": None,
    }
    return json.dumps({"error": error}).encode()


def _message(fields: Any) -> str:
    """Find what a provider of another mind wrote."""
    if isinstance(fields, list) and fields:
        fields = fields[0]
    if not isinstance(fields, dict):
        return ""
    for found in (fields.get("error"), fields.get("message"), fields.get("detail")):
        if isinstance(found, str):
            return found
        if isinstance(found, dict) and isinstance(found.get("message"), str):
            return str(found["message"])
    return ""

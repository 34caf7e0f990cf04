"""Errors of AWS services: the exception's name in a header or a frame, the message in the body.

Formats: smithy.io, "AWS restJson1 protocol", "Operation error serialization", and "Amazon Event
Stream Specification"; docs.aws.amazon.com/bedrock/latest/APIReference, "Common errors".
"""

from collections.abc import Mapping
from typing import Any, Final

from remora.records import CallError
from remora_sidecar.dialects.framing.aws_event_stream import Message
from remora_sidecar.dialects.framing.json_values import parse_json, word
from remora_sidecar.dialects.provider_error import MESSAGE_CHARACTERS, UNNAMED_TYPE
from remora_sidecar.model.exchange import AnswerHead, header

ERROR_TYPE: Final = b"x-amzn-errortype"
"""Header that names the exception."""


def read_answer_error(head: AnswerHead, body: Mapping[str, Any]) -> CallError:
    """Read the error that a failed answer states; its body may be empty."""
    stated = (
        header(head.headers, ERROR_TYPE),
        *(body.get(name) for name in ("__type", "code", "type")),
    )
    name = next((name for value in stated if (name := _bare_name(value))), UNNAMED_TYPE)
    return CallError(name, _message(body))


def read_frame_error(message: Message) -> CallError:
    """Read the error that a message of an event stream states, which is the stream's last."""
    value = parse_json(message.payload) if message.payload else {}
    body = value if isinstance(value, dict) else {}
    text = message.headers.text or _message(body)
    return CallError(message.headers.name or UNNAMED_TYPE, text)


def _bare_name(value: object) -> str:
    """Take the namespace from the front of a name, and the address from behind it."""
    return word(value).partition(":")[0].rpartition("#")[2].strip()


def _message(body: Mapping[str, Any]) -> str:
    texts = (word(body.get(name), MESSAGE_CHARACTERS) for name in ("message", "Message"))
    return next(filter(None, texts), "")

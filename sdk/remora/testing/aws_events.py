"""AWS event streams as a provider writes them: messages with lengths, headers and checksums.

Format: smithy.io, "Amazon Event Stream Specification".
"""

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any
from zlib import crc32

_STRING = 7


def aws_message(headers: Mapping[str, str], payload: bytes = b"") -> bytes:
    """Write a message whose headers are all strings."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    front = prelude + struct.pack(">I", crc32(prelude)) + block + payload
    return front + struct.pack(">I", crc32(front))


def aws_event(name: str, value: Mapping[str, Any]) -> bytes:
    """Write an event with an object."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return aws_message(headers, json.dumps(value).encode())


def aws_chunk(value: Mapping[str, Any]) -> bytes:
    """Write a chunk of an InvokeModel stream, in which the vendor's own event stands."""
    inner = base64.b64encode(json.dumps(value).encode()).decode()
    return aws_event("chunk", {"bytes": inner, "p": "abcd"})


def aws_exception(name: str, message: str) -> bytes:
    """Write the exception that ends a stream, such as ``throttlingException``."""
    headers = {
        ":exception-type": name,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return aws_message(headers, json.dumps({"message": message}).encode())


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack(">B", len(key)) + key + struct.pack(">BH", _STRING, len(text)) + text

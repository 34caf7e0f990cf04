"""Recorded provider exchanges as values: what tests replay and the provider double plays.

Reads a folder of ``<dialect>*.jsonl.gz`` files, one exchange a line, bodies stored decoded
from any content-encoding. Knows nothing of HTTP servers or dialects.
"""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Transcript:
    """One recorded request and its answer.

    Attributes:
        id: Where the exchange comes from; unique.
        dialect: Stable name such as ``openai-chat``.
        provenance: ``recorded`` or ``suspected-handmade``.
        url: Whole URL as recorded; ``host`` (with a port where one was named), ``path``
            and ``query`` are its parts.
        request_headers: The few that were kept; no framing headers.
        request_body: Compact JSON, or the bytes where the body was none; empty if not recorded.
        response_headers: The few that were kept, neither content-encoding nor content-length.
        response_body: Decoded bytes.
        stream: The answer is a stream.
        expect: Facts that the answer states; a value of None must not be asserted.
        expect_extra: Further facts, where they apply.
    """

    id: str
    dialect: str
    provenance: str
    method: str
    url: str
    host: str
    path: str
    query: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: bytes
    status: int
    response_headers: tuple[tuple[str, str], ...]
    response_body: bytes
    stream: bool
    expect: Mapping[str, Any]
    expect_extra: Mapping[str, Any]


def _request_body(request: Mapping[str, Any]) -> bytes:
    if encoded := request.get("body_b64"):
        return base64.b64decode(encoded)
    if (body := request.get("body")) is None:
        return b""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _response_body(response: Mapping[str, Any]) -> bytes:
    if encoded := response.get("body_b64"):
        return base64.b64decode(encoded)
    return (response.get("body") or "").encode()


def _transcript(line: Mapping[str, Any]) -> Transcript:
    request, response = line["request"], line["response"]
    return Transcript(
        id=line["id"],
        dialect=line["dialect"],
        provenance=line["source"]["provenance"],
        method=line["method"],
        url=line["url"],
        host=line["host"],
        path=line["path"],
        query=urlsplit(line["url"]).query,
        request_headers=tuple(request["headers"].items()),
        request_body=_request_body(request),
        status=response["status"],
        response_headers=tuple(response["headers"].items()),
        response_body=_response_body(response),
        stream=line["stream"],
        expect=line["expect"],
        expect_extra=line.get("expect_extra") or {},
    )


def _lines(file: Path) -> Iterator[Mapping[str, Any]]:
    with gzip.open(file, mode="rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def load_transcripts(folder: Path, dialect: str) -> list[Transcript]:
    """Read all exchanges of one dialect, in the order of the files.

    Args:
        folder: Where the ``*.jsonl.gz`` files lie.
        dialect: Stable name; every file whose name starts with it is read, and lines of
            other dialects in them are left out.

    Raises:
        FileNotFoundError: No file of that dialect is there.
    """
    files = sorted(folder.glob(f"{dialect}*.jsonl.gz"))
    if not files:
        raise FileNotFoundError(f"no {dialect}*.jsonl.gz in {folder}")
    return [
        _transcript(line) for file in files for line in _lines(file) if line["dialect"] == dialect
    ]


def find_corpus(named: str, checkout: Path) -> Path | None:
    """Find the folder of transcripts: the named one, else the one beside the checkout.

    Args:
        named: The value of ``REMORA_CORPUS``: the folder itself or one that holds
            ``transcripts/``; empty if not set.
        checkout: Top folder of the source tree.

    Returns:
        None if there is none.
    """
    root = Path(named) if named else checkout.parent / "shared" / "corpus"
    for folder in (root / "transcripts", root):
        if any(folder.glob("*.jsonl.gz")):
            return folder
    return None

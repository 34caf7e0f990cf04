import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from remora.testing.transcripts import find_corpus, load_transcripts


def _line(**changes: Any) -> dict[str, Any]:
    line: dict[str, Any] = {
        "id": "repo:path#0",
        "dialect": "openai-chat",
        "source": {"provenance": "recorded"},
        "method": "POST",
        "url": "https://api.example.com:8443/v1/chat/completions?api-version=1",
        "host": "api.example.com:8443",
        "path": "/v1/chat/completions",
        "request": {"headers": {"accept": "*/*"}, "body": {"model": "gé"}},
        "response": {"status": 200, "headers": {"content-type": "text/plain"}, "body": "é"},
        "stream": False,
        "expect": {"model": None},
    }
    return line | changes


def _write(file: Path, *lines: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))


def test_a_line_becomes_a_transcript(tmp_path: Path) -> None:
    _write(tmp_path / "openai-chat.jsonl.gz", _line())
    [transcript] = load_transcripts(tmp_path, "openai-chat")
    assert transcript.query == "api-version=1"
    assert transcript.request_body == '{"model":"gé"}'.encode()
    assert transcript.response_body == "é".encode()
    assert transcript.request_headers == (("accept", "*/*"),)
    assert transcript.expect_extra == {}


def test_binary_bodies_are_read_from_base64(tmp_path: Path) -> None:
    _write(
        tmp_path / "openai-chat.jsonl.gz",
        _line(
            request={"headers": {}, "body_b64": "AP8="},
            response={"status": 200, "headers": {}, "body_b64": "AP8="},
        ),
    )
    [transcript] = load_transcripts(tmp_path, "openai-chat")
    assert transcript.request_body == transcript.response_body == b"\x00\xff"


def test_an_unrecorded_request_body_is_empty(tmp_path: Path) -> None:
    _write(tmp_path / "openai-chat.jsonl.gz", _line(request={"headers": {}, "body": None}))
    assert load_transcripts(tmp_path, "openai-chat")[0].request_body == b""


def test_all_files_of_a_dialect_are_read_and_other_dialects_left_out(tmp_path: Path) -> None:
    _write(tmp_path / "openai-chat.jsonl.gz", _line(id="a"), _line(id="b", dialect="other"))
    _write(tmp_path / "openai-chat-more.jsonl.gz", _line(id="c"))
    assert {t.id for t in load_transcripts(tmp_path, "openai-chat")} == {"a", "c"}


def test_a_missing_dialect_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no cohere"):
        load_transcripts(tmp_path, "cohere")


def test_the_corpus_is_found_by_name_or_beside_the_checkout(tmp_path: Path) -> None:
    beside = tmp_path / "shared" / "corpus" / "transcripts"
    _write(beside / "openai-chat.jsonl.gz", _line())
    assert find_corpus("", tmp_path / "checkout") == beside
    assert find_corpus(str(beside), tmp_path) == beside
    assert find_corpus(str(beside.parent), tmp_path) == beside
    assert find_corpus(str(tmp_path), tmp_path) is None

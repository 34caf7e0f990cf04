import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.dialects.framing.json_lines import JsonLines


def _read(*pieces: bytes, limit: int = 1000) -> tuple[list[Mapping[str, Any]], JsonLines]:
    taken: list[Mapping[str, Any]] = []
    lines = JsonLines(limit)
    for piece in pieces:
        lines.feed(piece, lambda value, _: taken.append(value))
    lines.finish(lambda value, _: taken.append(value))
    return taken, lines


@pytest.mark.parametrize(
    ("body", "objects"),
    [
        (b"", []),
        (b'{"a":1}\n{"b":2}\n', [{"a": 1}, {"b": 2}]),
        (b'{"a":1}\r\n{"b":2}\r\n', [{"a": 1}, {"b": 2}]),
        (b'{"a":1}\n\n{"b":2}', [{"a": 1}, {"b": 2}]),
        (b'{"a":1}\n{"b":', [{"a": 1}]),
        (b'1\n[]\nnull\nx\n{"a":"\xff"}\n', [{"a": "\ufffd"}]),
    ],
    ids=["empty", "plain", "CRLF", "no last line end", "cut", "what is no object"],
)
def test_each_line_is_one_object(body: bytes, objects: list[Any]) -> None:
    assert _read(body)[0] == objects
    assert _read(*(bytes([byte]) for byte in body))[0] == objects


def test_a_line_that_is_too_large_is_passed_over_and_told() -> None:
    long = json.dumps({"a": "x" * 2000}).encode() + b"\n"
    for pieces in ([long, b'{"b":1}\n'], [long[:50], long[50:] + b'{"b":1}', b"\n"]):
        taken, lines = _read(*pieces)
        assert taken == [{"b": 1}]
        assert lines.problem == "1 lines were too large to be read"
    assert _read(b"{}")[1].problem == ""


def test_an_endless_line_is_not_held() -> None:
    lines = JsonLines()
    for _ in range(1000):
        lines.feed(b"x" * 65536, lambda value, _: None)
    assert len(lines._held) == 0


@given(st.lists(st.sampled_from([b"\n", b'{"a":1}', b"\r", b"x" * 600]) | st.binary()), st.data())
def test_cuts_change_nothing(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    at = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]
    taken, lines = _read(*pieces)
    whole_taken, whole_lines = _read(whole)
    assert (taken, lines.problem) == (whole_taken, whole_lines.problem)

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.dialects.framing.request_fields import FIELD_BYTES, is_true, number, read_asked
from remora_sidecar.model.exchange import RequestHead

WANTED = frozenset({"model", "stream"})
FORM = "multipart/form-data; boundary=limit"


def _head(content_type: str = FORM) -> RequestHead:
    fields = [(b"Content-Type", content_type.encode())]
    return RequestHead("POST", "api.openai.com", "/v1/audio/transcriptions", "", fields)


def _part(name: str, content: bytes, more: str = "") -> bytes:
    head = f'--limit\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = b"--limit--\r\n"
FILE = _part("file", b"\x00\r\n--limi\xff" * 1000, '; filename="a.wav"\r\nContent-Type: audio/wav')


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (_part("model", b"m") + _part("stream", b"true"), {"model": "m", "stream": "true"}),
        (FILE + _part("model", b"m"), {"model": "m"}),
        (_part("model", b"m") + FILE, {"model": "m"}),
        (_part("model", b"m") + _part("model", b"n"), {"model": "m"}),
        (_part("prompt", b"x") + FILE, {}),
        (_part("model", b"x", '; filename="model"'), {}),
        (_part("model", b"x" * (FIELD_BYTES + 1)) + _part("stream", b"1"), {"stream": "1"}),
        (_part("model", "é\0\udcff".encode("utf-8", "surrogateescape")), {"model": "é\0\ufffd"}),
        (_part("model", b""), {"model": ""}),
    ],
    ids=[
        "fields", "file first", "file last", "twice", "nothing wanted",
        "a file of that name", "too long", "not UTF-8", "empty",
    ],
)  # fmt: skip
def test_wanted_fields_of_a_form_are_read(body: bytes, fields: dict[str, str]) -> None:
    assert read_asked(_head(), body + END, WANTED) == (fields, "")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b""),
        (FORM, _part("model", b"m")),
        (FORM, b"--other--\r\n"),
        ("multipart/form-data", _part("model", b"m") + END),
        (FORM, _part("x", b"") * 1001 + END),
    ],
    ids=["empty", "cut", "another limit", "no limit", "too many parts"],
)
def test_a_form_that_cannot_be_read_says_so(content_type: str, body: bytes) -> None:
    fields, problem = read_asked(_head(content_type), body, WANTED)
    assert set(fields) <= WANTED
    assert problem.startswith("request form can't be read: ")


def test_what_a_cut_form_said_before_is_kept() -> None:
    fields, problem = read_asked(_head(), _part("model", b"m") + FILE, WANTED)
    assert fields == {"model": "m"}
    assert problem != ""


def test_a_file_is_not_held_again() -> None:
    body = _part("file", b"x" * 30_000_000, '; filename="a"') + _part("model", b"m") + END
    tracemalloc.start()
    fields, _ = read_asked(_head(), body, WANTED)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fields == {"model": "m"}
    assert peak < 3_000_000


@pytest.mark.parametrize(
    ("content_type", "body", "asked"),
    [
        ("application/json", b'{"model": "m"}', ({"model": "m"}, "")),
        ("", b'{"model": "m"}', ({"model": "m"}, "")),
        ("application/json", b"", ({}, "request has no body")),
        ("application/json", b"[1]", ({}, "request body is no JSON object")),
        ("text/plain", b"\xff", ({}, "request body is no JSON object")),
    ],
)
def test_a_json_object_comes_whole(content_type: str, body: bytes, asked: object) -> None:
    assert read_asked(_head(content_type), body, WANTED) == asked


def test_a_form_that_nobody_expects_is_not_read() -> None:
    assert read_asked(_head(), _part("model", b"m") + END)[1] != ""


@pytest.mark.parametrize(
    ("value", "on"),
    [(True, True), ("true", True), (" True ", True), ("1", True), (1, False), ("", False)],
)
def test_a_switch_is_read_from_json_and_text(value: object, on: bool) -> None:
    assert is_true(value) is on


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2, 2.0), ("0.5", 0.5), ("x", None), (True, None), (None, None), (10**400, None)],
    ids=str,
)
def test_a_number_is_read_from_json_and_text(value: object, expected: float | None) -> None:
    assert number(value) == expected


@given(st.text(), st.lists(st.sampled_from([FILE, END, b"\r\n", b"--limit"]) | st.binary()))
def test_any_form_is_taken(rest: str, parts: list[bytes]) -> None:
    body = b"".join(parts)
    assert set(read_asked(_head(), body, WANTED)[0]) <= WANTED
    odd = [(b"content-type", b"multipart/form-data" + rest.encode("utf-8", "replace"))]
    assert read_asked(RequestHead("POST", "h", "/", "", odd), body, WANTED)

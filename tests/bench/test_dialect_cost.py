import json

import pytest
from bench.dialect_cost import cut_events, streams_of

from remora_sidecar.dialects.registry import DIALECTS

_FRAME = (20).to_bytes(4) + b"x" * 16
_ARRAY = json.dumps([{"a": "],{"}, {"b": 2}], indent=1).encode()


@pytest.mark.parametrize(
    ("body", "content_type", "count"),
    [
        pytest.param(b"data: 1\n\ndata: 2\n\n", "text/event-stream", 2, id="events"),
        pytest.param(b"data: 1\r\n\r\ndata: 2\r\n\r\n", "", 2, id="events with CRLF"),
        pytest.param(b"data: 1\n\ndata: [DO", "", 2, id="cut event"),
        pytest.param(b'{"a":1}\n{"b":2}\n', "application/x-ndjson", 2, id="lines"),
        pytest.param(_ARRAY, "application/json", 3, id="array and its end"),
        pytest.param(_FRAME * 3, "application/vnd.amazon.eventstream", 3, id="frames"),
    ],
)
def test_a_stream_is_cut_after_each_event(body, content_type, count):
    pieces = list(cut_events(body, content_type))
    assert b"".join(pieces) == body
    assert len(pieces) == count


def test_without_recordings_the_built_in_streams_are_read(monkeypatch, tmp_path):
    monkeypatch.setattr("bench.dialect_cost.find_corpus", lambda *_: None)
    built_in = {name for name in DIALECTS if streams_of(DIALECTS[name])}
    assert {"openai-chat", "openai-responses", "anthropic-messages", "gemini-generate"} <= built_in

"""What tells streams from JSON, and where they end."""

import pytest

from remora_sidecar.dialects.base import Completeness
from remora_sidecar.dialects.framing.answer_body import AnswerBody
from remora_sidecar.model.exchange import AnswerHead

STREAM = AnswerHead(200, [(b"content-type", b"text/event-stream")])


def _nobody(*_: object) -> None:
    """Take what no test looks at."""


@pytest.mark.parametrize(
    ("sentinel", "data", "completeness"),
    [
        (b"[DONE]", b"data: [DONE]\n\n", Completeness.WHOLE),
        (b"[DONE]", b"data:\n\n", Completeness.CUT),
        (b"", b"data:\n\n", Completeness.CUT),
    ],
    ids=["its end", "no data", "a stream that has no such end"],
)
def test_a_stream_ends_with_its_sentinel_alone(
    sentinel: bytes, data: bytes, completeness: Completeness
) -> None:
    body = AnswerBody(STREAM, stream=True, sentinel=sentinel)
    body.feed(data, _nobody)
    assert body.ended is (completeness is Completeness.WHOLE)
    assert body.finish(_nobody) is completeness


@pytest.mark.parametrize(
    ("head", "data", "has_output", "said"),
    [
        (STREAM, b"data: {}\n\n", False, False),
        (STREAM, b"data: {}\n\n", True, True),
        (AnswerHead(200, []), b"{", False, True),
        (AnswerHead(200, []), b"  ", False, False),
        (AnswerHead(500, []), b"{", False, False),
    ],
    ids=["silent event", "event", "JSON", "white space", "error"],
)
def test_a_stream_says_what_its_events_say_and_json_something_at_once(
    head: AnswerHead, data: bytes, has_output: bool, said: bool
) -> None:
    body = AnswerBody(head, stream=True)
    body.feed(data, _nobody)
    assert body.has_said(has_output) is said

"""Pictures, sound and what may not be said: OpenAI's images, audio and moderations."""

import json
from typing import Any

import pytest

from remora.records import CallError, Usage
from remora_sidecar.dialects.base import AnswerFacts, AnswerReader, CallRequest, Completeness
from remora_sidecar.dialects.openai.audio import OpenAIAudio
from remora_sidecar.dialects.openai.images import SEVERAL, OpenAIImages
from remora_sidecar.dialects.openai.moderations import OpenAIModerations
from remora_sidecar.model.exchange import AnswerHead, RequestHead

IMAGES, AUDIO, MODERATIONS = OpenAIImages(), OpenAIAudio(), OpenAIModerations()
JSON = "application/json"
SSE = "text/event-stream"
IMAGE = "image_generation"


def _head(path: str, content_type: str = JSON, method: str = "POST") -> RequestHead:
    fields = [(b"content-type", content_type.encode())]
    return RequestHead(method, "api.openai.com", path, "", fields)


def _form(**fields: str) -> bytes:
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    return "".join([*parts, "--b--\r\n"]).encode()


def _images(asked: Any, path: str = "/v1/images/generations") -> CallRequest:
    return IMAGES.read_request(_head(path), json.dumps(asked).encode())


def _transcription(**fields: str) -> CallRequest:
    head = _head("/v1/audio/transcriptions", "multipart/form-data; boundary=b")
    return AUDIO.read_request(head, _form(**fields))


def _speech(asked: Any) -> CallRequest:
    return AUDIO.read_request(_head("/v1/audio/speech"), json.dumps(asked).encode())


def _answer_head(content_type: str, status: int = 200) -> AnswerHead:
    return AnswerHead(status, [(b"content-type", content_type.encode())])


def _sse(*events: Any, done: bool = False) -> bytes:
    data = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    return b"".join(data) + b"data: [DONE]\n\n" * done


def _read(reader: AnswerReader, body: bytes) -> AnswerFacts:
    reader.feed(body)
    return reader.finish()


def _audio(body: Any, request: CallRequest, content_type: str = JSON) -> AnswerFacts:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return _read(AUDIO.answer_reader(_answer_head(content_type), request), raw)


@pytest.mark.parametrize(
    ("dialect", "path"),
    [
        (IMAGES, "/v1/images/generations"),
        (IMAGES, "/openai/deployments/d/images/edits"),
        (IMAGES, "/v1/images/variations"),
        (AUDIO, "/v1/audio/speech"),
        (AUDIO, "/openai/v1/audio/transcriptions"),
        (AUDIO, "/v1/audio/translations/"),
        (MODERATIONS, "/v1/moderations"),
        (MODERATIONS, "/v1/chat/moderations"),
    ],
)
def test_each_claims_its_own_posts(dialect: Any, path: str) -> None:
    assert [one for one in (IMAGES, AUDIO, MODERATIONS) if one.claims(_head(path))] == [dialect]
    assert not dialect.claims(_head(path, method="GET"))
    assert not dialect.claims(_head(path + "/x"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"model": "gpt-image-1"}, CallRequest(IMAGE, "gpt-image-1")),
        ({"model": "chatgpt-image-latest"}, CallRequest(IMAGE, "chatgpt-image-latest")),
        ({"model": "dall-e-3"}, CallRequest(IMAGE, "dall-e-3", states_usage=False)),
        ({"prompt": "x"}, CallRequest(IMAGE, states_usage=False)),
        ({"model": "gpt-image-1", "stream": True}, CallRequest(IMAGE, "gpt-image-1", True)),
        ({"model": "gpt-image-1", "n": 2}, CallRequest(IMAGE, "gpt-image-1", variant=SEVERAL)),
    ],
    ids=str,
)
def test_requests_for_pictures_are_read(asked: Any, expected: CallRequest) -> None:
    assert _images(asked) == expected
    head = _head("/v1/images/edits", "multipart/form-data; boundary=b")
    texts = {name: str(value).lower() for name, value in asked.items()}
    assert IMAGES.read_request(head, _form(**texts)) == expected


def test_on_azure_the_deployment_is_the_model_of_a_picture() -> None:
    request = _images({}, "/openai/deployments/my-gpt-image-1/images/generations")
    assert (request.model, request.states_usage) == ("my-gpt-image-1", True)


IMAGE_USAGE = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    "output_tokens": 1056,
    "output_tokens_details": {"image_tokens": 1000, "text_tokens": 56},
    "total_tokens": 1106,
}
IMAGE_FIGURES = Usage(50, 1056, input_image_tokens=40, output_image_tokens=1000)
PICTURE = "A" * 5_000_000


def test_a_picture_is_read_without_the_picture() -> None:
    request = _images({"model": "gpt-image-1"})
    reader = IMAGES.answer_reader(_answer_head(JSON), request)
    answer = {"created": 1, "data": [{"b64_json": PICTURE}] * 4, "usage": IMAGE_USAGE}
    facts = _read(reader, json.dumps(answer).encode())
    assert facts == AnswerFacts(usage=IMAGE_FIGURES, completeness=Completeness.WHOLE)


@pytest.mark.parametrize("kind", ["image_generation", "image_edit"])
def test_a_stream_of_pictures_ends_with_the_whole_one(kind: str) -> None:
    request = _images({"model": "gpt-image-1", "stream": True})
    reader = IMAGES.answer_reader(_answer_head(SSE), request)
    assert reader.feed(_sse({"type": f"{kind}.partial_image", "b64_json": PICTURE}))
    assert not reader.ended
    last = {"type": f"{kind}.completed", "b64_json": PICTURE, "usage": IMAGE_USAGE}
    reader.feed(_sse(last))
    assert reader.ended
    assert reader.finish() == AnswerFacts(usage=IMAGE_FIGURES, completeness=Completeness.WHOLE)


def test_of_several_pictures_the_first_ends_no_stream() -> None:
    request = _images({"model": "gpt-image-1", "stream": True, "n": 2})
    reader = IMAGES.answer_reader(_answer_head(SSE), request)
    reader.feed(_sse({"type": "image_generation.completed", "usage": IMAGE_USAGE}))
    assert not reader.ended
    assert reader.finish().completeness is Completeness.WHOLE


def test_a_stream_of_pictures_that_fails_is_an_error() -> None:
    request = _images({"model": "gpt-image-1", "stream": True})
    reader = IMAGES.answer_reader(_answer_head(SSE), request)
    error = {"type": "image_generation_user_error", "code": "moderation_blocked", "message": "no"}
    assert not reader.feed(_sse({"type": "error", "error": error}))
    facts = reader.finish()
    assert facts.error == CallError("image_generation_user_error", "no")
    assert (facts.completeness, facts.usage_problem) == (Completeness.CUT, "")


def test_pictures_of_models_that_state_usage_without_it_are_a_problem() -> None:
    for model, problem in (("gpt-image-1", "searched usage for"), ("dall-e-3", "")):
        reader = IMAGES.answer_reader(_answer_head(JSON), _images({"model": model}))
        facts = _read(reader, b'{"created": 1, "data": [{"url": "https://x"}]}')
        assert facts.usage_problem.startswith(problem)
        assert bool(facts.usage_problem) is bool(problem)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model": "whisper-1"}, CallRequest("transcription", "whisper-1", states_usage=False)),
        ({"model": "gpt-4o-transcribe"}, CallRequest("transcription", "gpt-4o-transcribe")),
        (
            {"model": "gpt-4o-transcribe", "stream": "true"},
            CallRequest("transcription", "gpt-4o-transcribe", True),
        ),
        (
            {"model": "gpt-4o-transcribe", "response_format": "text"},
            CallRequest("transcription", "gpt-4o-transcribe", states_usage=False),
        ),
        (
            {"model": "voxtral-mini-latest", "temperature": "0"},
            CallRequest("transcription", "voxtral-mini-latest", samples=False),
        ),
    ],
    ids=str,
)
def test_requests_for_transcriptions_are_read(
    fields: dict[str, str], expected: CallRequest
) -> None:
    assert _transcription(**fields) == expected


@pytest.mark.parametrize(
    ("asked", "stream", "states_usage"),
    [
        ({"model": "tts-1"}, False, False),
        ({"model": "tts-1", "stream_format": "audio"}, False, False),
        ({"model": "tts-1", "stream_format": "sse"}, True, True),
        ({"model": "tts-1", "stream": True}, True, False),
    ],
    ids=str,
)
def test_requests_for_speech_are_read(asked: Any, stream: bool, states_usage: bool) -> None:
    expected = CallRequest("speech", "tts-1", stream=stream, states_usage=states_usage)
    assert _speech(asked) == expected


def test_a_form_that_cannot_be_read_is_a_problem() -> None:
    head = _head("/v1/audio/transcriptions", "multipart/form-data; boundary=b")
    assert AUDIO.read_request(head, b"x").problem == "request form can't be read: ParserError"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(
            {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
                "output_tokens": 45,
                "total_tokens": 59,
            },
            Usage(14, 45, input_audio_tokens=14),
            id="tokens",
        ),
        pytest.param(
            {"type": "duration", "seconds": 4}, Usage(input_audio_seconds=4.0), id="seconds"
        ),
        pytest.param(
            {"seconds": 2.5, "cost": 0.1}, Usage(input_audio_seconds=2.5), id="OpenRouter"
        ),
        pytest.param(
            {
                "prompt_audio_seconds": 203,
                "prompt_tokens": 4,
                "completion_tokens": 635,
                "total_tokens": 3264,
            },
            Usage(4, 635, input_audio_seconds=203.0),
            id="Mistral",
        ),
        pytest.param({"type": "duration", "seconds": True}, None, id="a truth is no length"),
        pytest.param({"type": "duration", "seconds": -1}, None, id="nor is a negative"),
    ],
)
def test_a_transcription_states_tokens_or_seconds(usage: Any, expected: Usage | None) -> None:
    facts = _audio({"text": "x", "usage": usage}, _transcription(model="gpt-4o-transcribe"))
    assert facts.usage == expected
    assert bool(facts.usage_problem) is (expected is None)


@pytest.mark.parametrize("done", [True, False], ids=["[DONE]", "no [DONE]"])
@pytest.mark.parametrize(
    ("last", "request_"),
    [
        ("transcript.text.done", _transcription(model="gpt-4o-transcribe", stream="true")),
        ("transcription.done", _transcription(model="voxtral-mini", stream="true")),
        ("speech.audio.done", _speech({"model": "gpt-4o-mini-tts", "stream_format": "sse"})),
    ],
    ids=["transcription", "Mistral's", "speech"],
)
def test_a_stream_of_audio_ends_with_its_usage(
    last: str, request_: CallRequest, done: bool
) -> None:
    reader = AUDIO.answer_reader(_answer_head(SSE), request_)
    assert reader.feed(_sse({"type": "something.delta", "delta": "x"}))
    assert not reader.ended
    reader.feed(_sse({"type": last, "usage": {"input_tokens": 1, "output_tokens": 2}}, done=done))
    assert reader.ended
    assert reader.finish() == AnswerFacts(usage=Usage(1, 2), completeness=Completeness.WHOLE)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("audio/mpeg", b"\xff\xfb\x90"), ("text/plain; charset=utf-8", b"1\n00:00 --> 00:01\nhi")],
)
def test_sound_and_plain_text_state_nothing(content_type: str, body: bytes) -> None:
    request = _speech({"model": "tts-1"})
    reader = AUDIO.answer_reader(_answer_head(content_type), request)
    assert not reader.feed(b"")
    assert reader.feed(body)
    assert not reader.ended
    assert reader.finish() == AnswerFacts()
    refused = AUDIO.answer_reader(_answer_head(content_type, 500), request)
    assert not refused.feed(body)


def test_sound_where_usage_was_asked_for_is_a_problem() -> None:
    request = _speech({"model": "gpt-4o-mini-tts", "stream_format": "sse"})
    problem = _audio(b"\xff\xfb", request, "audio/mpeg").usage_problem
    assert problem == "answer is no JSON and no events"


def test_a_moderation_states_its_model_and_owes_no_usage() -> None:
    request = MODERATIONS.read_request(_head("/v1/moderations"), b'{"input": "x"}')
    assert request == CallRequest("moderation", states_usage=False, samples=False)
    reader = MODERATIONS.answer_reader(_answer_head(JSON), request)
    answer = {"id": "modr-1", "model": "omni-moderation", "results": [{"flagged": False}]}
    assert _read(reader, json.dumps(answer).encode()) == AnswerFacts(
        model="omni-moderation", response_id="modr-1", completeness=Completeness.WHOLE
    )

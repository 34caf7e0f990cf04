"""What the official SDK sends and reads, of calls beside chats and responses."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import openai
from openai.types.completion_usage import CompletionUsage

from remora.records import Usage
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer, RandomCuts, answer_of, json_answer
from remora.testing.transcripts import Transcript
from remora_sidecar.dialects.base import AnswerFacts, AnswerReader, CallRequest, Completeness
from remora_sidecar.dialects.openai.audio import OpenAIAudio
from remora_sidecar.dialects.openai.completions import OpenAICompletions
from remora_sidecar.dialects.openai.embeddings import OpenAIEmbeddings
from remora_sidecar.dialects.openai.images import OpenAIImages
from remora_sidecar.model.exchange import AnswerHead, RequestHead

COMPLETIONS = OpenAICompletions()


def _read(reader: AnswerReader, body: bytes) -> AnswerFacts:
    reader.feed(body)
    return reader.finish()


def _figures(usage: CompletionUsage | None) -> Usage | None:
    return usage and Usage(usage.prompt_tokens, usage.completion_tokens)


async def test_it_comes_to_the_same_in_every_recorded_stream_of_text(
    double: ProviderDouble,
    client: openai.AsyncOpenAI,
    recorded: Callable[[str], Sequence[Transcript]],
) -> None:
    streams = [transcript for transcript in recorded("openai-completions") if transcript.stream]
    assert streams
    for transcript in streams:
        double.script(answer_of(transcript, cuts=RandomCuts(seed=1)))
        reason, usage, chunk = None, None, None
        async for chunk in await client.completions.create(model="m", prompt="x", stream=True):
            firsts = [choice for choice in chunk.choices if not choice.index]
            reason = next((c.finish_reason for c in firsts if c.finish_reason), reason)
            usage = chunk.usage or usage
        assert chunk is not None
        request = CallRequest("text_completion", stream=True)
        fields = [(name.encode(), value.encode()) for name, value in transcript.response_headers]
        reader = COMPLETIONS.answer_reader(AnswerHead(200, fields), request)
        facts = _read(reader, transcript.response_body)
        assert (facts.model, facts.response_id) == (chunk.model, chunk.id), transcript.id
        assert (facts.finish_reason, facts.usage) == (reason, _figures(usage)), transcript.id


def _sent(double: ProviderDouble) -> tuple[RequestHead, bytes]:
    received = double.requests[-1]
    head = received.head
    path = head.target.partition("?")[0]
    return RequestHead(head.method, "api.openai.com", path, "", head.headers), received.body


async def test_its_forms_with_files_are_read(
    double: ProviderDouble, client: openai.AsyncOpenAI
) -> None:
    usage = {"type": "duration", "seconds": 3}
    double.script(json_answer(json.dumps({"text": "hi", "usage": usage}).encode()))
    sound = b"\r\n--RIFF" * 100_000
    await client.audio.transcriptions.create(
        file=("a.wav", sound), model="whisper-1", temperature=0
    )
    head, body = _sent(double)
    assert len(body) > len(sound)
    request = OpenAIAudio().read_request(head, body)
    assert request == CallRequest("transcription", "whisper-1", states_usage=False, samples=False)


async def test_its_edits_of_pictures_are_read(
    double: ProviderDouble, client: openai.AsyncOpenAI
) -> None:
    images = OpenAIImages()
    figures = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    details = {"input_tokens_details": {"text_tokens": 2, "image_tokens": 3}}
    last = {
        "type": "image_edit.completed",
        "b64_json": "A" * 100_000,
        "usage": figures | details,
    }
    body = f"event: image_edit.completed\ndata: {json.dumps(last)}\n\n".encode()
    double.script(Answer(200, (("content-type", "text/event-stream"),), body))
    stream = await client.images.edit(
        image=("a.png", b"\x89PNG"), prompt="x", model="gpt-image-1", stream=True
    )
    seen: list[Any] = [event async for event in stream]
    head, sent = _sent(double)
    request = images.read_request(head, sent)
    assert request == CallRequest("image_generation", "gpt-image-1", stream=True)
    facts = _read(images.answer_reader(AnswerHead(200, []), request), body)
    stated = seen[-1].usage
    assert facts.usage == Usage(
        stated.input_tokens,
        stated.output_tokens,
        input_image_tokens=stated.input_tokens_details.image_tokens,
    )
    assert facts.completeness is Completeness.WHOLE


async def test_it_comes_to_the_same_in_every_recorded_embedding(
    double: ProviderDouble,
    client: openai.AsyncOpenAI,
    recorded: Callable[[str], Sequence[Transcript]],
) -> None:
    embeddings = OpenAIEmbeddings()
    for transcript in recorded("openai-embeddings"):
        if transcript.status == 200 and "voyage" not in transcript.host:
            double.script(answer_of(transcript))
            answer = await client.embeddings.create(model="m", input="x", encoding_format="float")
            reader = embeddings.answer_reader(AnswerHead(200, []), CallRequest("embeddings"))
            facts = _read(reader, transcript.response_body)
            assert facts.usage is not None
            assert facts.usage.input_tokens == answer.usage.prompt_tokens, transcript.id
            assert facts.model == answer.model

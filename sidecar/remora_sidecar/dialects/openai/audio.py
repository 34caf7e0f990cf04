"""`openai-audio`: speech made, transcribed and translated by OpenAI's Audio API and its kin.

Speech is answered with sound, which states nothing, or with events. A transcription is JSON,
events, or plain text, subtitles; its usage counts tokens or, of models that are paid by length,
seconds (OpenAI's API reference, "Audio"). Mistral states both. Sound comes in forms with files.
"""

import re
from collections.abc import Mapping

from remora_sidecar.dialects.base import AnswerFacts, CallRequest, samples
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.framing.request_fields import is_true, number, read_asked
from remora_sidecar.dialects.openai.answer import OpenAIReader, is_posted_to, requested_model
from remora_sidecar.dialects.openai.usage import audio_seconds, states_tokens
from remora_sidecar.model.exchange import AnswerHead, RequestHead, header
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "openai-audio"

_SPEECH = "/audio/speech"
_TEXT = ("/audio/transcriptions", "/audio/translations")
_WANTED = frozenset({"model", "stream", "response_format", "temperature"})
_STATELESS_FORMATS = ("text", "srt", "vtt")
_STATES_USAGE = re.compile(r"^gpt-.*transcribe|^voxtral", re.IGNORECASE)


class OpenAIAudio:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every POST to ``/audio/speech``, ``/transcriptions`` and ``/translations``."""
        return is_posted_to(head, _SPEECH, *_TEXT)

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read model and stream mode from JSON or form."""
        asked, problem = read_asked(head, body, _WANTED)
        model = requested_model(head, asked)
        if is_posted_to(head, _SPEECH):
            events = asked.get("stream_format") == "sse"
            return CallRequest(
                "speech",
                model=model,
                stream=events or is_true(asked.get("stream")),
                states_usage=events,
                problem=problem,
            )
        says_usage = asked.get("response_format") not in _STATELESS_FORMATS
        return CallRequest(
            "transcription",
            model=model,
            stream=is_true(asked.get("stream")),
            states_usage=says_usage and _STATES_USAGE.search(model) is not None,
            problem=problem,
            samples=samples(number(asked.get("temperature"))),
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> "AudioReader":
        """Make the reader of the answer."""
        return AudioReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return openai_error(refusal, call_id)


def _is_json_or_events(head: AnswerHead) -> bool:
    media_type = (header(head.headers, b"content-type") or "").partition(";")[0].strip().lower()
    return media_type.endswith("json") or media_type in ("", "text/event-stream")


class AudioReader(OpenAIReader):
    """Watches one answer; of sound and plain text it knows only that they began."""

    usage_words = "input_tokens, output_tokens, seconds"
    last_events = frozenset({"transcript.text.done", "transcription.done", "speech.audio.done"})

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        super().__init__(head, request)
        self._is_read = _is_json_or_events(head)
        self._begun = False

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; true once the model said something."""
        if self._is_read:
            return super().feed(data)
        self._begun = self._begun or bool(data)
        return self._begun and not self._failed

    def finish(self) -> AnswerFacts:
        """Say what was stated; nobody can tell whether sound or plain text is whole."""
        if self._is_read:
            return super().finish()
        expected = self._expects_usage() and not self._failed
        return AnswerFacts(usage_problem="answer is no JSON and no events" if expected else "")

    def _states(self, usage: object) -> bool:
        if states_tokens(usage):
            return True
        return isinstance(usage, Mapping) and audio_seconds(usage) is not None

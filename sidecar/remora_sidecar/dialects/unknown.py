"""`unknown`: every call that no dialect of its provider claims, recorded with what is known.

Reads what nearly all APIs have in common: the operation in the path, the model in the path or in
a JSON body; of a small JSON answer or a stream of them the model, id and error. Usage in OpenAI's
words, which half of the world took over, is read where it is stated and never missed where it is
not; only of a POST, since what is fetched was counted when it was made.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.framing.json_values import parse_json, word
from remora_sidecar.dialects.openai.choices import ChoicesReader
from remora_sidecar.model.exchange import AnswerHead, RequestHead, header
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "unknown"

MADE = "made"
"""Variant of a call that makes something, so that usage in its answer is its own."""

OTHER_OPERATION = "other"
"""Operation of a call whose path says nothing."""

_READABLE = frozenset({"application/json", "text/event-stream"})

HELD_JSON_LIMIT_BYTES = 512 * 1024
"""A JSON answer up to this size is read for its model, id and error."""

# OpenTelemetry's words where it has one, else the API's own.
_OPERATIONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), operation)
    for pattern, operation in (
        (r"/chat/completions$", "chat"),
        (r"/chat$", "chat"),
        (r"/responses$", "chat"),
        (r"/messages$", "chat"),
        (r"/converse(-stream)?$", "chat"),
        (r"/invoke(-with-response-stream)?$", "chat"),
        (r":(stream)?generateContent$", "generate_content"),
        (r"/api/generate$", "text_completion"),
        (r"/(complete|completions)$", "text_completion"),
        (r"/(embeddings?|embed|multimodalembeddings)$", "embeddings"),
        (r":(batch)?embedContents?$", "embeddings"),
        (r"/rerank$", "rerank"),
        (r"/images/(generations|edits|variations)$", "image_generation"),
        (r"/audio/speech$", "speech"),
        (r"/audio/(transcriptions|translations)$", "transcription"),
        (r"/moderations$", "moderation"),
        (r"(/messages/count_tokens|:countTokens|/input_tokens|/tokenize)$", "count_tokens"),
        (r"/realtime$", "realtime"),
        (r"/batches\b", "batches"),
        (r"/(files|fileSearchStores)\b", "files"),
        (r"/cachedContents\b", "cached_contents"),
        (r"/models(/[^/:]+)?$", "models"),
    )
)
_MODEL_IN_PATH = re.compile(r"/(?:models|model|deployments|engines)/([^/:]+)[/:]")
_STREAM_IN_ADDRESS = re.compile(
    r":streamGenerateContent$|/converse-stream$|/invoke-with-response-stream$"
)


def operation_of(path: str) -> str:
    """Tell the operation that a path is known for."""
    path = path.rstrip("/")
    return next((word for pattern, word in _OPERATIONS if pattern.search(path)), OTHER_OPERATION)


def _json_object(head: RequestHead, body: bytes) -> Mapping[str, Any]:
    content_type = header(head.headers, b"content-type") or ""
    if not body or ("json" not in content_type.lower() and body.lstrip()[:1] != b"{"):
        return {}
    asked = parse_json(body)
    return asked if isinstance(asked, dict) else {}


class Unknown:
    """The dialect of last resort."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every call."""
        return True

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read operation, model and stream mode as far as path and body tell them."""
        asked = _json_object(head, body)
        in_path = _MODEL_IN_PATH.search(head.path)
        return CallRequest(
            operation=operation_of(head.path),
            model=word(unquote(in_path[1])) if in_path else word(asked.get("model")),
            stream=asked.get("stream") is True or _STREAM_IN_ADDRESS.search(head.path) is not None,
            states_usage=False,
            variant=MADE if head.method == "POST" else "",
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> "UnknownReader":
        """Make the reader of the answer."""
        return UnknownReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal in the shape that most SDKs can read."""
        return openai_error(refusal, call_id)


class _AnyReader(ChoicesReader):
    held_limit_bytes = HELD_JSON_LIMIT_BYTES


def _is_readable(head: AnswerHead) -> bool:
    content_type = header(head.headers, b"content-type") or ""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in _READABLE or media_type.endswith("+json")


class UnknownReader:
    """Watches an answer of any format; reads JSON and streams of it if they are small."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._failed = head.status >= 400
        self._made = request.variant == MADE
        self._reader = _AnyReader(head, request) if _is_readable(head) else None
        self._begun = False

    @property
    def ended(self) -> bool:
        """Whether ``[DONE]`` was seen; no other end is known."""
        return self._reader is not None and self._reader.ended

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; any byte of a successful answer counts as output."""
        if self._reader is not None:
            self._reader.feed(data)
        self._begun = self._begun or bool(data)
        return self._begun and not self._failed

    def finish(self) -> AnswerFacts:
        """Say what was stated; an answer that is not known to be whole is not judged."""
        if self._reader is None:
            return AnswerFacts()
        facts = self._reader.finish()
        is_whole = facts.completeness is Completeness.WHOLE
        return replace(
            facts,
            usage=facts.usage if self._made else None,
            usage_problem="",
            output_tokens_estimate=0,
            completeness=Completeness.WHOLE if is_whole else Completeness.UNKNOWN,
        )

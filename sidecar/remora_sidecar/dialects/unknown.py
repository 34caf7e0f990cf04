"""`unknown`: every call that no dialect of its provider claims, recorded with what is known.

Reads what nearly all APIs have in common: the operation in the path, the model in the path or in
a JSON body, the model, id and error of a small JSON answer. Claims no usage.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from remora.records import CallError
from remora_sidecar.dialects.answer_body import AnswerBody
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.json_values import parse_json, word
from remora_sidecar.dialects.provider_error import read_error
from remora_sidecar.model.exchange import AnswerHead, RequestHead, header
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "unknown"

OTHER_OPERATION = "other"
"""Operation of a call whose path says nothing."""

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
        (r"/files\b", "files"),
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
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> "UnknownReader":
        """Make the reader of the answer."""
        return UnknownReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal in the shape that most SDKs can read."""
        return openai_error(refusal, call_id)


def _is_json(head: AnswerHead) -> bool:
    media_type = (header(head.headers, b"content-type") or "").partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


class UnknownReader:
    """Watches an answer of any format; reads a JSON one if it is small."""

    def __init__(self, head: AnswerHead, request: CallRequest) -> None:
        """Stand before the first byte."""
        self._head = head
        self._request = request
        self._body = (
            AnswerBody(head, self._take, stream=False, limit=HELD_JSON_LIMIT_BYTES)
            if _is_json(head)
            else None
        )
        self._model = ""
        self._response_id = ""
        self._error: CallError | None = None
        self._begun = False

    @property
    def ended(self) -> bool:
        """Never known."""
        return False

    def feed(self, data: bytes) -> bool:
        """Take the next decoded bytes; any byte of a successful answer counts as output."""
        if self._body is not None:
            self._body.feed(data)
        self._begun = self._begun or bool(data)
        return self._begun and self._head.status < 400

    def finish(self) -> AnswerFacts:
        """Say what was stated."""
        if self._body is None:
            return AnswerFacts()
        # Lines of JSON, too, come under JSON's media type: that this is none says nothing.
        is_whole = self._body.finish() is Completeness.WHOLE
        return AnswerFacts(
            model=self._model,
            response_id=self._response_id,
            error=self._error,
            completeness=Completeness.WHOLE if is_whole else Completeness.UNKNOWN,
        )

    def _take(self, answer: Mapping[str, Any], event: bytes) -> None:
        self._model = word(answer.get("model"))
        self._response_id = word(answer.get("id"))
        self._error = read_error(answer, failed=self._head.status >= 400)

"""`openai-realtime`: OpenAI's Realtime API, and Azure's.

Over a WebSocket both sides send JSON events, and each response is a call of its own; what else
the API has (keys for browsers, calls by WebRTC and SIP) is plain HTTP that states no usage.
Events and addresses: platform.openai.com/docs/api-reference/realtime and, for Azure,
learn.microsoft.com, "GPT Realtime API". The names of the beta and of the released API are read.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.framing.json_values import member, parse_json, word
from remora_sidecar.dialects.openai.realtime_conversation import RealtimeConversation
from remora_sidecar.dialects.unknown import UnknownReader
from remora_sidecar.model.exchange import AnswerHead, RequestHead, wants_websocket
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "openai-realtime"

OPERATION = "realtime"
"""Of a connection as a whole, and of what is asked around one; its responses are ``chat``."""

_SOCKET = re.compile(r"/realtime(/translations)?/?$", re.IGNORECASE)
_HTTP = re.compile(
    r"/realtime(/(client_secrets|sessions|transcription_sessions|calls|translations)(/.*)?)?/?$",
    re.IGNORECASE,
)


def _model_in_query(query: str) -> str:
    """Name the model; of Azure's old address the deployment, which stands for it."""
    try:
        asked = parse_qs(query, max_num_fields=64)
    except ValueError:
        return ""
    return next((word(asked[name][0]) for name in ("model", "deployment") if name in asked), "")


def _model_in_body(asked: Mapping[str, Any]) -> str:
    return word(member(asked, "session").get("model")) or word(asked.get("model"))


class OpenAIRealtime:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim WebSockets to ``…/realtime`` and the POSTs around them."""
        if wants_websocket(head):
            return head.method == "GET" and _SOCKET.search(head.path) is not None
        return head.method == "POST" and _HTTP.search(head.path) is not None

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read the model, which address or body name; a session may choose it later."""
        asked = parse_json(body) if body[:1] == b"{" else None
        in_body = _model_in_body(asked) if isinstance(asked, dict) else ""
        return CallRequest(
            OPERATION,
            model=_model_in_query(head.query) or in_body,
            stream=wants_websocket(head),
            states_usage=False,
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> UnknownReader:
        """Make the reader of a plain answer, such as that to a refused handshake."""
        return UnknownReader(head, request)

    def conversation(self, request: CallRequest, kept_bytes: int) -> RealtimeConversation:
        """Begin to watch a connection."""
        return RealtimeConversation(request.model, kept_bytes)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return openai_error(refusal, call_id)

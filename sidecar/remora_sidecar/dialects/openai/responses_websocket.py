"""`openai-responses` over WebSocket: a connection that carries response after response.

OpenAI and xAI offer it at the address of the Responses API over HTTP. Guide:
developers.openai.com/api/docs/guides/websocket-mode.
"""

import re

from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.openai.responses import NAME
from remora_sidecar.dialects.openai.responses_conversation import ResponsesConversation
from remora_sidecar.dialects.unknown import UnknownReader
from remora_sidecar.model.exchange import AnswerHead, RequestHead, wants_websocket
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

_PATH = re.compile(r"/responses/?$", re.IGNORECASE)


class OpenAIResponsesWebSocket:
    """The dialect where it is spoken over WebSocket; its name is that of the dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim WebSockets to ``…/responses``."""
        is_there = head.method == "GET" and _PATH.search(head.path) is not None
        return is_there and wants_websocket(head)

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Take the handshake, which says nothing of what will be asked."""
        return CallRequest("chat", stream=True, states_usage=False)

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> UnknownReader:
        """Make the reader of the answer to a refused handshake."""
        return UnknownReader(head, request)

    def conversation(self, request: CallRequest, kept_bytes: int) -> ResponsesConversation:
        """Begin to watch a connection."""
        return ResponsesConversation(request, kept_bytes)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return openai_error(refusal, call_id)

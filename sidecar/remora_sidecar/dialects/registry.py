"""Which dialect a call is in: the one table that a new dialect is added to."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from remora_sidecar.dialects.anthropic.messages import AnthropicMessages
from remora_sidecar.dialects.base import ConversationDialect, Dialect
from remora_sidecar.dialects.bedrock.converse import BedrockConverse
from remora_sidecar.dialects.bedrock.invoke import BedrockInvoke
from remora_sidecar.dialects.cohere.chat import CohereChat
from remora_sidecar.dialects.gemini.generate import GeminiGenerate
from remora_sidecar.dialects.ollama_chat import OllamaChat
from remora_sidecar.dialects.openai.audio import OpenAIAudio
from remora_sidecar.dialects.openai.chat import OpenAIChat
from remora_sidecar.dialects.openai.completions import OpenAICompletions
from remora_sidecar.dialects.openai.embeddings import OpenAIEmbeddings
from remora_sidecar.dialects.openai.images import OpenAIImages
from remora_sidecar.dialects.openai.moderations import OpenAIModerations
from remora_sidecar.dialects.openai.realtime import OpenAIRealtime
from remora_sidecar.dialects.openai.responses import OpenAIResponses
from remora_sidecar.dialects.openai.responses_websocket import OpenAIResponsesWebSocket
from remora_sidecar.dialects.unknown import Unknown
from remora_sidecar.model.exchange import RequestHead, wants_websocket

UNKNOWN: Dialect = Unknown()
"""Takes what no other dialect claims."""

_ALL: tuple[Dialect, ...] = (
    OpenAIChat(), OpenAIResponses(), AnthropicMessages(), OpenAIRealtime(),
    OpenAICompletions(), OpenAIEmbeddings(), OpenAIImages(), OpenAIAudio(), OpenAIModerations(),
    CohereChat(), OllamaChat(), GeminiGenerate(), BedrockConverse(), BedrockInvoke(),
)  # fmt: skip
_CONVERSATIONS: tuple[ConversationDialect, ...] = (OpenAIRealtime(), OpenAIResponsesWebSocket())

DIALECTS: Mapping[str, Dialect] = MappingProxyType({dialect.name: dialect for dialect in _ALL})
"""Every dialect that claims calls, by name."""

CONVERSATIONS: Mapping[str, ConversationDialect] = MappingProxyType(
    {dialect.name: dialect for dialect in _CONVERSATIONS}
)
"""Every dialect that claims WebSockets, by name."""


_NEAREST = (
    ("message", "anthropic-messages"),
    ("responses", "openai-responses"),
    ("embed", "openai-embeddings"),
    ("generatecontent", "gemini-generate"),
)
"""What a word in a path lets expect of a call whose path is no dialect's own."""

_USUAL = "openai-chat"


def dialect_for(
    names: Iterable[str], head: RequestHead, path_patterns: Iterable[str] = ()
) -> Dialect:
    """Find the dialect of a call on a provider's host.

    Args:
        names: The provider's dialects; the first that claims the call has it, and a name
            that this version does not read is passed over.
        head: The call.
        path_patterns: Parts of paths under which a POST is an LLM call though no dialect
            claims it; it is read in the nearest one, most often `openai-chat`.
    """
    table: Mapping[str, Dialect] = DIALECTS
    if head.method == "GET" and wants_websocket(head):
        table = CONVERSATIONS
    for name in names:
        dialect = table.get(name)
        if dialect is not None and dialect.claims(head):
            return dialect
    if head.method == "POST" and any(pattern in head.path for pattern in path_patterns):
        return _nearest(head.path.lower())
    return UNKNOWN


def _nearest(path: str) -> Dialect:
    words = (name for word, name in _NEAREST if word in path and name in DIALECTS)
    return DIALECTS[next(words, _USUAL)]

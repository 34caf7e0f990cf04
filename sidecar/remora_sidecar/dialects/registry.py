"""Which dialect a call is in: the one table that a new dialect is added to."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from remora_sidecar.dialects.anthropic_messages import AnthropicMessages
from remora_sidecar.dialects.base import Dialect
from remora_sidecar.dialects.openai_chat import OpenAIChat
from remora_sidecar.dialects.unknown import Unknown
from remora_sidecar.model.exchange import RequestHead

UNKNOWN: Dialect = Unknown()
"""Takes what no other dialect claims."""

_ALL: tuple[Dialect, ...] = (OpenAIChat(), AnthropicMessages())

DIALECTS: Mapping[str, Dialect] = MappingProxyType({dialect.name: dialect for dialect in _ALL})
"""Every dialect that claims calls, by name."""


def dialect_for(names: Iterable[str], head: RequestHead) -> Dialect:
    """Find the dialect of a call on a provider's host.

    Args:
        names: The provider's dialects; the first that claims the call has it, and a name
            that this version does not read is passed over.
        head: The call.
    """
    for name in names:
        dialect = DIALECTS.get(name)
        if dialect is not None and dialect.claims(head):
            return dialect
    return UNKNOWN

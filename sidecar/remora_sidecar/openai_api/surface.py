"""The calls of OpenAI's API that the sidecar serves itself, and the names that leave it to choose.

Pure.
"""

from dataclasses import dataclass
from typing import Final

from remora.workflows.catalogue import Operation

AUTO: Final = "auto"
AUTO_MODELS: Final = frozenset({AUTO, "kr-auto", "kr-auto-embed"})
"""Models that are none: who asks for one leaves the choice to the sidecar."""


@dataclass(frozen=True, slots=True)
class Surface:
    """One of the calls.

    Attributes:
        operation: What it asks for, in OpenTelemetry's words.
        dialect: What the provider has to speak.
        path: Behind a provider's base path, and behind ours.
        looks_for: What models are looked for in the catalogue.
    """

    operation: str
    dialect: str
    path: str
    looks_for: Operation = "chat"


CHAT: Final = Surface("chat", "openai-chat", "/chat/completions")
COMPLETIONS: Final = Surface("text_completion", "openai-completions", "/completions")
EMBEDDINGS: Final = Surface("embeddings", "openai-embeddings", "/embeddings", "embeddings")

SURFACES: Final = (CHAT, COMPLETIONS, EMBEDDINGS)

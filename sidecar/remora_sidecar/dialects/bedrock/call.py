"""The address of a call to Bedrock's runtime: what is done, with which model, at whose price.

A model is named in the path, quoted: by id (``amazon.nova-lite-v1:0``), by inference profile
(``us.anthropic.…``) or by the ARN of one of a dozen kinds of resources. The requested model is the
name as the path has it, an ARN whole (docs.aws.amazon.com/bedrock/latest/APIReference, "Converse",
`modelId`).
"""

from typing import Final, NamedTuple
from urllib.parse import unquote

from remora_sidecar.dialects.framing.json_values import word
from remora_sidecar.model.exchange import RequestHead

_MODEL: Final = "/model/"

_PRICED_KINDS: Final = frozenset({"foundation-model", "inference-profile"})
"""Kinds of ARNs whose last part is the id that the price list knows."""

_OPAQUE_KINDS: Final = frozenset({"application-inference-profile", "prompt", "prompt-router",
                                  "default-prompt-router"})  # fmt: skip
"""Kinds of ARNs behind which stands a model of the price list; only the answer may name it."""


class ModelCall(NamedTuple):
    """A call to a model.

    Attributes:
        model: As requested, unquoted; an ARN whole.
        action: What stands behind the model, such as ``converse-stream``.
    """

    model: str
    action: str


def model_call(head: RequestHead) -> ModelCall | None:
    """Read the path of a POST under any prefix; None if it names no model."""
    if head.method != "POST":
        return None
    front, _, action = head.path.rstrip("/").rpartition("/")
    _, found, model = front.partition(_MODEL)
    return ModelCall(word(unquote(model)), action) if found and model else None


def priced_model(model: str) -> str:
    """Name what a call is billed by; empty where only the answer may tell.

    Profiles of a geography and the global ones cost differently, and the bodies of answers name
    the model without them. What runs on capacity of one's own (provisioned, custom and imported
    models, endpoints) is not billed by the token: its kind, which no price list knows, stands
    for it.
    """
    if not model.startswith("arn:"):
        return model
    resource = model.split(":", 5)[-1]
    kind, _, name = resource.partition("/")
    if kind in _PRICED_KINDS:
        return name
    return "" if kind in _OPAQUE_KINDS else kind

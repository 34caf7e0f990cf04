"""What a request asks for: its model, and what it says that no provider should read. Pure.

Fields that are the sidecar's to honour are taken out of the body; every other byte stays. What
can't be honoured is refused: who asks for it relies on it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from remora_sidecar.dialects.framing.json_members import members, spells, without_member
from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.engine.refusal import bad_request
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.openai_api.surface import AUTO_MODELS, Surface

MAX_TASK_ID_CHARACTERS: Final = 256
MAX_MODEL_CHARACTERS: Final = 256

_OWN_FIELDS: Final = (
    b"task_id",
    b"preferred_max_latency",
    b"preferred_min_throughput",
    b"data_collection",
    b"zdr",
    b"plugins",
)
_AS_IF_UNSAID: Final[Mapping[str, tuple[object, ...]]] = {
    "preferred_min_throughput": (None,),
    "data_collection": (None, "allow"),
    "zdr": (None, False),
    "plugins": (None, []),
}
_WHY_NOT: Final[Mapping[str, str]] = {
    "preferred_min_throughput": "how many tokens a second models write is not measured",
    "data_collection": "what providers keep is not known here: let policy name those to be used",
    "zdr": "what providers keep is not known here: let policy name those to be used",
    "plugins": "there are none",
}
_OWN_TO: Final[Mapping[str, str]] = {"openrouter/": "plugins"}
"""Fields that a provider has as well: with such a model they are the provider's."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request.

    Attributes:
        surface: Which call it is.
        model: As the client named it.
        body: Without what is the sidecar's.
        fields: The body, parsed.
        task_id: Of its task; empty: it says none.
        max_latency_s: How soon the first output is wanted; None: any time.
    """

    surface: Surface
    model: str
    body: bytes = field(repr=False)
    fields: Mapping[str, Any] = field(repr=False)
    task_id: str = ""
    max_latency_s: float | None = None

    @property
    def is_auto(self) -> bool:
        """Whether the sidecar is to choose the model."""
        return self.model in AUTO_MODELS

    @property
    def streams(self) -> bool:
        """Whether the answer is to come as a stream."""
        return self.fields.get("stream") is True


def read_asked(surface: Surface, body: bytes) -> Asked | Refusal:
    """Read a request's body."""
    fields = parse_json(body)
    if not isinstance(fields, dict):
        return bad_request("the body should be a JSON object")
    model = fields.get("model")
    if not isinstance(model, str) or not _names_a_model(model.strip()):
        return bad_request("model should name a model, or say auto")
    own = [name for name in _OWN_FIELDS if name.decode() != _OWN_TO.get(_provider_part(model))]
    if (problem := _problem(fields, own)) is not None:
        return bad_request(problem)
    latency_ms = fields.get("preferred_max_latency")
    return Asked(
        surface,
        model.strip(),
        _without(body, own),
        {name: value for name, value in fields.items() if name.encode() not in own},
        fields.get("task_id") or "",
        None if latency_ms is None else latency_ms / 1000,
    )


def _names_a_model(name: str) -> bool:
    return 0 < len(name) <= MAX_MODEL_CHARACTERS and name.isprintable()


def _provider_part(model: str) -> str:
    return model.partition("/")[0] + "/"


def _problem(fields: Mapping[str, Any], own: Collection[bytes]) -> str | None:
    task_id, latency_ms = fields.get("task_id"), fields.get("preferred_max_latency")
    if task_id is not None and not _is_id(task_id):
        return (
            f"task_id should be a text of at most {MAX_TASK_ID_CHARACTERS} visible characters "
            "of ASCII"
        )
    if latency_ms is not None and not _is_positive(latency_ms):
        return "preferred_max_latency should be a number of milliseconds above 0"
    for name, harmless in _AS_IF_UNSAID.items():
        if name.encode() in own and fields.get(name) not in harmless:
            return f"{name} can't be honoured ({_WHY_NOT[name]}): leave it out"
    return None


def _is_id(value: object) -> bool:
    if not isinstance(value, str) or len(value) > MAX_TASK_ID_CHARACTERS:
        return False
    return value.isascii() and value.isprintable() and value == value.strip()


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9


def _without(body: bytes, names: Collection[bytes]) -> bytes:
    """Take members out; quick where no name stands in the body."""
    if not any(name in body for name in names) and b"\\u00" not in body:
        return body
    found = [one for one in members(body) if any(spells(one.key, name) for name in names)]
    for member in reversed(found):
        body = without_member(body, member)
    return body

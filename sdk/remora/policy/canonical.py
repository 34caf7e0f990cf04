"""The document that travels, read back into the policy that it was written from. Pure.

Operators send it to sidecars, and sidecars keep the last good one. JSON has no lines, so what is
wrong is named by the path of its field: ``policy.spec.budgets[0].maxCostUSD``.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from remora.errors import ConfigError, Problem
from remora.policy.document import PolicyDocuments, checked_documents
from remora.policy.effective import EffectivePolicy, effective_policy
from remora.policy.problems import nearest
from remora.policy.selector import LabelSelector
from remora.policy.yaml_source import MAX_DEPTH, Path, path_text

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
"""More than a cluster can hold of one policy and its providers; nothing larger is read."""

_MEMBERS = ("policy", "providers", "learning")
_WHOLE = "document"


def effective_from_canonical(document: bytes, version: str | None = None) -> EffectivePolicy:
    """Read the document that travels, as `EffectivePolicy.canonical` holds it.

    What it selects is not asked again: whoever sent it chose it for this pod.

    Args:
        document: Canonical JSON of ``policy`` and ``providers``.
        version: The SHA-256 that it came with, in hex; None: nobody said.

    Returns:
        The policy that the document was written from; what it was selected as and its notes
        do not travel.

    Raises:
        ConfigError: It can't be read, says what this release does not know or enforce, or is not
            what the version names; it holds every problem.
    """
    digest = hashlib.sha256(document).hexdigest()
    if version is not None and digest != version:
        raise _unfit("its bytes are not those that its version names")
    whole = _value(document)
    sources = _sources(whole)
    documents = checked_documents(sources, merged=True)
    if len(documents.policies) != 1 or len(documents.providers) != len(sources) - 1:
        raise _unfit("should be one LLMPolicy with its LLMProviders")
    effective = _effective(documents)
    across = _across_namespaces(whole)
    return replace(effective, version=digest, canonical=document, across_namespaces=across)


def _across_namespaces(whole: object) -> bool:
    learning = whole.get("learning", {}) if isinstance(whole, dict) else {}
    if not isinstance(learning, dict) or learning.keys() - {"acrossNamespaces"}:
        raise ConfigError([Problem("learning", "should be a mapping with acrossNamespaces alone")])
    across = learning.get("acrossNamespaces", False)
    if not isinstance(across, bool):
        raise ConfigError([Problem("learning.acrossNamespaces", "should be true or false")])
    return across


def _effective(documents: PolicyDocuments) -> EffectivePolicy:
    policy = documents.policies[0]
    chosen = policy.model_copy(
        update={"spec": policy.spec.model_copy(update={"selector": LabelSelector()})}
    )
    try:
        return effective_policy(replace(documents, policies=(chosen,)), labels={})
    except UnicodeEncodeError:
        raise _unfit("holds text that is no Unicode") from None


@dataclass(frozen=True)
class _JsonDocument:
    """One document within the one that travels."""

    value: object
    _prefix: tuple[str | int, ...]

    def where(self, path: Path = ()) -> str:
        return path_text((*self._prefix, *path))


def _sources(whole: object) -> Sequence[_JsonDocument]:
    if not isinstance(whole, dict):
        raise _unfit("should be a mapping of fields")
    unknown = [name for name in whole if name not in _MEMBERS]
    if unknown:
        raise ConfigError([Problem(n, f"unknown field{nearest(n, _MEMBERS)}") for n in unknown])
    if "policy" not in whole:
        raise ConfigError([Problem("policy", "is required")])
    providers = whole.get("providers", [])
    if not isinstance(providers, list):
        raise ConfigError([Problem("providers", "should be a list")])
    return [
        _JsonDocument(whole["policy"], ("policy",)),
        *(_JsonDocument(value, ("providers", index)) for index, value in enumerate(providers)),
    ]


def _value(document: bytes) -> object:
    if len(document) > MAX_DOCUMENT_BYTES:
        raise _unfit(f"larger than {MAX_DOCUMENT_BYTES} bytes")
    try:
        value = json.loads(
            document.decode("utf-8"), object_pairs_hook=_mapping, parse_constant=_no_constant
        )
    except _NotCanonical as error:
        raise _unfit(str(error)) from None
    except (ValueError, RecursionError):
        raise _unfit("is not JSON in UTF-8") from None
    if _depth_exceeds(value, MAX_DEPTH):
        raise _unfit(f"nested deeper than {MAX_DEPTH} levels")
    return value


class _NotCanonical(ValueError):
    """JSON that two readers may read differently."""


def _mapping(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _NotCanonical("has a field that stands twice")
    return values


def _no_constant(name: str) -> object:
    raise _NotCanonical(f"holds {name}, which is no JSON")


def _depth_exceeds(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_depth_exceeds(one, levels - 1) for one in inner)


def _unfit(what: str) -> ConfigError:
    return ConfigError([Problem(_WHOLE, what)])

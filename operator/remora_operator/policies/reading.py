"""The cluster's policy objects as they come from the API server, read one by one. Pure.

Each is checked as far as it can be by itself; what may be wrong between objects is asked when
they stand together (`remora_operator.policies.history`). No value of an object is ever quoted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from remora.errors import ConfigError, Problem
from remora.policy.consistency import inconsistencies, kept_names, named_providers, rules_of
from remora.policy.problems import explain
from remora.policy.selector import LabelSelector
from remora.policy.spec import API_VERSION, KINDS, Document
from remora.policy.support import not_yet_supported
from remora.policy.yaml_source import MAX_DEPTH, Path, path_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Names an object: its kind, its namespace (empty: of the cluster) and its name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {where}"


@dataclass(frozen=True, slots=True)
class Claim:
    """Which pods a policy would rule if it could be read.

    Attributes:
        selector: Of the pods; an empty one where not even that can be read.
        priority: None where it can't be read: it may be the highest.
    """

    selector: LabelSelector = field(default_factory=LabelSelector)
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What was made of one version of an object.

    Attributes:
        key: Whose.
        uid: Another object of the same name has another one.
        generation: Of its spec.
        created: When the object was made.
        document: What it says; None: it can't be read.
        problems: Why not, by field path such as ``spec.budgets[0].maxCostUSD``.
        claim: Which pods it is for, as far as that can be read.
    """

    key: ObjectKey
    uid: str
    generation: int
    created: datetime
    document: Document | None
    problems: tuple[Problem, ...]
    claim: Claim


class _Metadata(BaseModel):
    """What is needed of ObjectMeta (https://kubernetes.io/docs/reference/, meta/v1)."""

    model_config = ConfigDict(frozen=True)

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    created: datetime = Field(default=_EPOCH, alias="creationTimestamp")


class _Head(BaseModel):
    kind: str
    metadata: _Metadata


@dataclass(frozen=True, slots=True)
class ObjectSource:
    """An object as the checks of `remora.policy` take documents: fields are named by their path."""

    value: object

    def where(self, path: Path = ()) -> str:
        """Return the path of a field; the object as a whole is ``document``."""
        return path_text(path) or "document"


def read_object(value: Mapping[str, object]) -> Reading:
    """Read a custom resource of the three kinds.

    Args:
        value: The object as the API server gives it.

    Raises:
        ConfigError: It is no such object at all: without a kind of ours, or without a name.
    """
    head = _head(value)
    namespace = head.metadata.namespace if head.kind == "LLMPolicy" else ""
    plain = _plain(value, head)
    document, problems = _document(plain, head.kind)
    return Reading(
        key=ObjectKey(head.kind, namespace, head.metadata.name),
        uid=head.metadata.uid,
        generation=head.metadata.generation,
        created=head.metadata.created.astimezone(UTC),
        document=document,
        problems=problems,
        claim=_claim(plain["spec"]),
    )


def _head(value: Mapping[str, object]) -> _Head:
    try:
        head = _Head.model_validate(value)
    except ValidationError as error:
        found = explain(_Head, error)
        raise ConfigError([Problem(path_text(path), what) for path, what in found]) from None
    if head.kind not in KINDS:
        raise ConfigError([Problem("kind", "not a kind of policy object")])
    return head


def _plain(value: Mapping[str, object], head: _Head) -> dict[str, object]:
    """Return the object as a person writes it: no status, no metadata but its name."""
    metadata = {"name": head.metadata.name}
    if head.metadata.namespace:
        metadata["namespace"] = head.metadata.namespace
    others = {key: inner for key, inner in value.items() if key not in ("metadata", "status")}
    return {"spec": {}, **others, "metadata": metadata}


def _document(plain: dict[str, object], kind: str) -> tuple[Document | None, tuple[Problem, ...]]:
    if plain.get("apiVersion") != API_VERSION:
        return None, (Problem("apiVersion", f"should be {API_VERSION}"),)
    unfit = _unfit_text(plain)
    if unfit is not None:
        return None, (unfit,)
    found = list(not_yet_supported(kind, plain))
    document: Document | None = None
    try:
        document = KINDS[kind].model_validate(plain)
    except ValidationError as error:
        found += explain(KINDS[kind], error)
    problems = [Problem(path_text(path) or "document", what) for path, what in found]
    if document is not None:
        problems += _wrong_by_itself(document)
    return (None if problems else document), tuple(problems)


def _wrong_by_itself(document: Document) -> list[Problem]:
    """Find clashes with what is built in; which other providers there are is not asked here."""
    read = [(ObjectSource(document), document)]
    return [*inconsistencies(read, needed_providers(document)), *kept_names(read)]


def _unfit_text(plain: Mapping[str, object]) -> Problem | None:
    try:
        json.dumps(plain, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return Problem("document", "holds text that is no Unicode")
    except (TypeError, ValueError, RecursionError):
        return Problem("document", "is no JSON")
    if _is_deeper(plain, MAX_DEPTH):
        return Problem("document", f"nested deeper than {MAX_DEPTH} levels")
    return None


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(one, levels - 1) for one in inner)


def _claim(spec: object) -> Claim:
    """Read whom a policy is for, whatever else is wrong with it; in doubt it is for all."""
    if not isinstance(spec, dict):
        return Claim()
    try:
        selector = LabelSelector.model_validate(spec.get("selector") or {})
    except ValidationError:
        selector = LabelSelector()
    priority = spec.get("priority", 0)
    return Claim(selector, priority if type(priority) is int else None)


def needed_providers(document: Document) -> frozenset[str]:
    """Return the names of all providers that a document names."""
    return frozenset(name for _, rules in rules_of(document) for _, name in named_providers(rules))


def keyed_providers(document: Document) -> frozenset[str]:
    """Return the names of the providers that a document has keys for."""
    return frozenset(
        key.provider
        for _, rules in rules_of(document)
        for key in rules.credentials
        if key.secret_ref is not None
    )

"""The custom resource definitions, made of the models: one source of what is well-formed. Pure.

A schema for Kubernetes is structural: no references, one type for each field, nothing but
values under ``anyOf``. Text and numbers get their defaults from the API server; objects and lists
get none, so that what ``kubectl get`` shows is what somebody wrote.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from remora.policy.crd_rules import RULES
from remora.policy.model import PolicyModel
from remora.policy.quantities import Duration, Quantity
from remora.policy.spec import API_VERSION, KINDS

Schema = dict[str, Any]

GROUP, VERSION = API_VERSION.split("/")


class _Resource(NamedTuple):
    plural: str
    short: str
    scope: str
    columns: Mapping[str, str]


_RESOURCES = {
    "LLMPolicy": _Resource(
        "llmpolicies",
        "llmpol",
        "Namespaced",
        {"Priority": ".spec.priority", "Capture": ".spec.capture"},
    ),
    "ClusterLLMPolicy": _Resource("clusterllmpolicies", "cllmpol", "Cluster", {}),
    "LLMProvider": _Resource(
        "llmproviders", "llmprov", "Cluster", {"Hosts": ".spec.hosts", "TLS": ".spec.tls"}
    ),
}

CONDITIONS = ("Accepted", "Enforced")
"""Types of the conditions that are columns; `kubectl get -o wide` shows those of `_WIDE`, too."""

_WIDE = ("Conflicted", "RestartRequired")

_COLUMN_TYPES = {".spec.priority": "integer", ".spec.tls": "boolean"}


def custom_resource_definitions() -> Iterator[Schema]:
    """Make the definition of each kind, in the order of `KINDS`."""
    for kind, model in KINDS.items():
        yield _definition(kind, model)


def _definition(kind: str, model: type[PolicyModel]) -> Schema:
    resource = _RESOURCES[kind]
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": resource.plural,
        "singular": kind.lower(),
        "shortNames": [resource.short],
        "categories": ["remora"],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [*_columns(resource)],
        "schema": {"openAPIV3Schema": _root(model)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": resource.scope, "names": names, "versions": [version]},
    }


def _columns(resource: _Resource) -> Iterator[Schema]:
    for name, path in resource.columns.items():
        yield {"name": name, "type": _COLUMN_TYPES.get(path, "string"), "jsonPath": path}
    for condition in (*CONDITIONS, *_WIDE):
        path = f".status.conditions[?(@.type=='{condition}')].status"
        wide = {"priority": 1} if condition in _WIDE else {}
        yield {"name": condition, "type": "string", **wide, "jsonPath": path}
    for name, count in (("Pods", "selected"), ("Current", "current")):
        yield {"name": name, "type": "integer", "jsonPath": f".status.pods.{count}"}
    yield {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def _root(model: type[PolicyModel]) -> Schema:
    spec = model.model_fields["spec"]
    schema: Schema = {
        "type": "object",
        "description": _summary(model),
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _object(_model_of(spec)),
            "status": _STATUS,
        },
    }
    if spec.is_required():
        schema["required"] = ["spec"]
    return schema


def _model_of(field: FieldInfo) -> type[PolicyModel]:
    model = field.annotation
    assert isinstance(model, type)  # noqa: S101 - as the three kinds have it
    assert issubclass(model, PolicyModel)  # noqa: S101
    return model


def _object(model: type[PolicyModel]) -> Schema:
    """Make the schema of a model, with its rules."""
    written = model.model_json_schema()
    models = {inner.__name__: inner for inner in _models_below(model)}
    said = _said_of_fields(model)
    properties = {}
    for name, field in model.model_fields.items():
        alias = field.alias or name
        about = {"description": said[name]} if name in said else {}
        schema = _structural(written["properties"][alias], models)
        properties[alias] = {**about, **schema, **_default(field)}
    rules = [rule for base in model.__mro__ for rule in RULES.get(base, ())]
    return {
        "type": "object",
        "properties": properties,
        **({"required": written["required"]} if "required" in written else {}),
        **({"x-kubernetes-validations": [_rule(*rule) for rule in rules]} if rules else {}),
    }


def _rule(cel: str, message: str) -> Schema:
    return {"rule": cel, "message": message}


_KEPT = (
    "type", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "maxProperties", "enum", "anyOf", "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
)  # fmt: skip


def _structural(written: Mapping[str, Any], models: Mapping[str, type[PolicyModel]]) -> Schema:
    """Write a schema of pydantic's as Kubernetes takes it."""
    if "$ref" in written:
        return _object(models[written["$ref"].rpartition("/")[2]])
    if "x-kubernetes-int-or-string" in written:
        return {key: written[key] for key in _KEPT if key in written}
    branches = [one for one in written.get("anyOf", ()) if one.get("type") != "null"]
    if len(branches) == 1:
        return _structural(branches[0], models)
    if branches:
        return _either([_structural(branch, models) for branch in branches])
    schema = {key: written[key] for key in _KEPT if key in written}
    if "const" in written:
        schema["enum"] = [written["const"]]
    if "items" in written:
        schema["items"] = _structural(written["items"], models)
    if isinstance(written.get("additionalProperties"), Mapping):
        schema["additionalProperties"] = _structural(written["additionalProperties"], models)
    if schema.get("type") == "integer":
        schema["format"] = "int64"
    return schema


def _either(branches: list[Schema]) -> Schema:
    """Join branches of one type, which then stands above them."""
    (kind,) = {branch.pop("type") for branch in branches}
    longest = max(branch.get("maxLength", 0) for branch in branches)
    return {"type": kind, "maxLength": longest, "anyOf": branches}


def _default(field: FieldInfo) -> Schema:
    """Write the default of a scalar; a field without one may be missing."""
    match field.default:
        case bool() | int() | str():
            return {"default": field.default}
        case Duration() | Quantity():
            return {"default": str(field.default)}
        case _:
            return {}


def _models_below(model: type[BaseModel]) -> Iterator[type[PolicyModel]]:
    for field in model.model_fields.values():
        yield from _models_in(field.annotation)


def _models_in(annotation: Any) -> Iterator[type[PolicyModel]]:
    if isinstance(annotation, type) and issubclass(annotation, PolicyModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n        .+)*)", re.MULTILINE)


def _said_of_fields(model: type[BaseModel]) -> dict[str, str]:
    """Take what the docstrings say of each field, in the words of documents."""
    said: dict[str, str] = {}
    for base in model.__mro__:
        if base is not PolicyModel and issubclass(base, PolicyModel):
            attributes = (inspect.getdoc(base) or "").partition("Attributes:\n")[2]
            for name, text in _ATTRIBUTE.findall(attributes):
                said.setdefault(name, _plain(text))
    return said


def _summary(model: type[BaseModel]) -> str:
    return _plain((inspect.getdoc(model) or "").partition("\n\n")[0])


def _plain(text: str) -> str:
    words = " ".join(text.split()).replace("``", "`")
    return re.sub(r"\bNone\b", "unset", words)


_STATUS: Schema = {
    "type": "object",
    "description": "What the operator made of it.",
    "properties": {
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        "conditions": {
            "type": "array",
            "maxItems": 16,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": {
                "type": "object",
                "required": ["type", "status", "lastTransitionTime", "reason", "message"],
                "properties": {
                    "type": {"type": "string", "maxLength": 316},
                    "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                    "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                    "lastTransitionTime": {"type": "string", "format": "date-time"},
                    "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
                    "message": {"type": "string", "maxLength": 32768},
                },
            },
        },
        "pods": {
            "type": "object",
            "description": "The pods with a sidecar that it concerns.",
            "properties": {
                "selected": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "description": "How many there are.",
                },
                "current": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "description": "How many of them have the newest document in force.",
                },
            },
        },
        "lastError": {
            "type": "object",
            "description": "Why a pod refused the newest document; of several, the latest.",
            "properties": {
                "pod": {"type": "string", "maxLength": 320},
                "fieldPath": {"type": "string", "maxLength": 1024},
                "reason": {"type": "string", "maxLength": 1024},
            },
        },
    },
}
"""Conditions as Kubernetes' own resources have them, and what `remora_operator.policies` adds."""

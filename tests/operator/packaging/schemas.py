"""Kubernetes' schemas as ``kubernetes-validate --strict`` has them, each read once."""

import functools
import re
from collections.abc import Mapping
from typing import Any

import jsonschema
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource


@functools.cache
def _definitions(folder: str, version: str) -> Registry:
    contents = schema_contents(f"{folder}/_definitions.json", version)
    return Resource.from_contents(contents) @ Registry()


@functools.cache
def _validator(kind: str, api_version: str, version: str) -> jsonschema.Draft202012Validator:
    folder = f"kubernetes-json-schema/v{version}.0-local-strict"
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    contents = schema_contents(f"{folder}/{kind.lower()}-{group}.json", version)
    registry = _definitions(folder, version).with_resources(
        [("", Resource.from_contents(contents))]
    )
    return jsonschema.Draft202012Validator(contents, registry=registry)


def problems(one: Mapping[str, Any], version: str) -> list[str]:
    """Say what an API server of a version would refuse in an object."""
    errors = _validator(one["kind"], one["apiVersion"], version).iter_errors(dict(one))
    return [f"{error.json_path}: {error.message}" for error in errors]

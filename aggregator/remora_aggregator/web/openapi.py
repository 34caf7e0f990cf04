"""The OpenAPI 3.1 document, made from the operations and the models of what they take and give.

Source of the format: spec.openapis.org/oas/v3.1.0; its schemas are JSON Schema 2020-12, which is
what pydantic writes.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from remora_aggregator.web.operation import PATH_PATTERNS, Content, Operation, Operations
from remora_aggregator.web.parameters import Parameters
from remora_aggregator.web.problems import MEDIA_TYPE, ProblemAnswer

_VERSION: Final = "3.1.0"
_SCHEMAS: Final = "#/components/schemas/"
_PROBLEMS: Final = (400, 401, 403, 421, 500, 503, 504)
_VARIABLE: Final = re.compile(r"\{(\w+)\}")
_ABOUT: Final = (
    "What the fleet's calls were, what they used and cost. Money is a decimal string, times are "
    "ISO 8601 in UTC, what is not known is null; programs must pass over keys that they do not "
    "know. docs/http.md has examples."
)


def openapi_document(operations: Operations, version: str) -> dict[str, Any]:
    """Make the document.

    Args:
        operations: All that can be asked.
        version: Of the aggregator.
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": _VERSION,
        "info": {"title": "Remora aggregator", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "responses": {"Problem": _content(Content(MEDIA_TYPE, ProblemAnswer, "A problem."))},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {
                    "type": "apiKey", "in": "cookie", "name": "remora",
                    "description": "Of POST /v1/sign-in; `__Host-remora` over TLS.",
                },
            },
        },
        "security": [{"token": []}, {"cookie": []}, {}],
    }  # fmt: skip


def _described(operation: Operation[Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_in_path(operation.path), *_in_query(operation.parameters)],
        "responses": dict(_responses(operation)),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
    if operation.act is None:
        described["security"] = []
    return described


def _in_path(path: str) -> Iterator[dict[str, Any]]:
    for name in _VARIABLE.findall(path):
        looks = {"pattern": PATH_PATTERNS[name]} if name in PATH_PATTERNS else {"minLength": 1}
        schema = {"type": "string", **looks}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(parameters: type[Parameters]) -> Iterator[dict[str, Any]]:
    schema = parameters.model_json_schema()
    for name, given in schema.get("properties", {}).items():
        described = {key: value for key, value in given.items() if key != "title"}
        parameter = {"name": name, "in": "query", "schema": described}
        if text := described.pop("description", ""):
            parameter["description"] = text
        yield parameter


def _responses(operation: Operation[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    status = "200" if operation.answer.media_type else "204"
    yield status, _content(operation.answer)
    for number, content in operation.others:
        yield str(number), _content(content)
    if not operation.is_open:
        for number in sorted({*_PROBLEMS, *operation.problems}):
            yield str(number), {"$ref": "#/components/responses/Problem"}


def _content(content: Content) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": content.description}
    if content.media_type:
        schema = {"type": "string"} if content.model is None else _reference(content.model)
        shown["content"] = {content.media_type: {"schema": schema}}
    return shown


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"{_SCHEMAS}{_title(model)}"}


def _title(model: type[BaseModel]) -> str:
    return str(model.model_config.get("title") or model.__name__)


def _schemas(operations: Operations) -> dict[str, Any]:
    """Give the schemas of all models, each by its title."""
    models: dict[type[BaseModel], None] = {ProblemAnswer: None}
    models |= dict.fromkeys(model for one in operations for model in _models(one))
    _, made = models_json_schema(
        [(model, "validation") for model in models], ref_template=f"{_SCHEMAS}{{model}}"
    )
    given: dict[str, Any] = made["$defs"]
    names = {f"{_SCHEMAS}{name}": f"{_SCHEMAS}{schema['title']}" for name, schema in given.items()}
    return {schema["title"]: _renamed(schema, names) for schema in given.values()}


def _models(operation: Operation[Any]) -> Iterator[type[BaseModel]]:
    contents = (operation.answer, *(content for _, content in operation.others))
    for model in (operation.body, *(content.model for content in contents)):
        if model is not None:
            yield model


def _renamed(schema: Any, names: dict[str, str]) -> Any:
    if isinstance(schema, list):
        return [_renamed(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: names[value] if key == "$ref" else _renamed(value, names)
        for key, value in schema.items()
    }

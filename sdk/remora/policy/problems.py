"""What the models' validation found, in words for the person who wrote the document.

No value of a document is ever quoted: a key may have been put where it does not belong.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from remora.policy.yaml_source import Path

_PLAIN_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "tuple_type": "should be a list",
    "model_type": "should be a mapping",
    "mapping_type": "should be a mapping",
    "string_type": "should be text; put quotes around it if it looks like something else",
    "bool_type": "should be true or false",
    "int_type": "should be a whole number",
    "too_short": "should not be empty",
    "string_too_short": "should not be empty",
}
"""Instead of pydantic's own, which speak of Python."""


def explain(model: type[BaseModel], error: ValidationError) -> list[tuple[Path, str]]:
    """Turn what validation found into the paths of fields and what is wrong there."""
    details = error.errors(include_url=False, include_input=False)
    paths = [_path(detail) for detail in details]
    return [
        (path, _text(model, path, detail))
        for path, detail in zip(paths, details, strict=True)
        if not _follows_from_another(path, detail, paths)
    ]


def _path(detail: ErrorDetails) -> tuple[str | int, ...]:
    return tuple(step for step in detail["loc"] if step != "[key]")


def _follows_from_another(path: Path, detail: ErrorDetails, paths: Sequence[Path]) -> bool:
    """Tell whether a list is only too short because its items are wrong."""
    return detail["type"] == "too_short" and any(
        len(other) > len(path) and other[: len(path)] == path for other in paths
    )


def _text(model: type[BaseModel], path: Path, detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        return _unknown(model, path)
    words = _PLAIN_WORDS.get(detail["type"])
    if words is not None:
        return words
    if detail["type"] == "too_long":
        return f"should have at most {detail['ctx']['max_length']} entries"
    text = detail["msg"].removeprefix("Value error, ")
    return text.replace("Input should", "should").replace("String should", "should")


def _unknown(model: type[BaseModel], path: Path) -> str:
    known = fields_below(model, path[:-1])
    return f"unknown field{nearest(str(path[-1]), known)}"


def nearest(word: str, known: Sequence[str]) -> str:
    """Write which known word was probably meant, or all of them where none is near."""
    lowered = {name.lower(): name for name in known}
    import difflib  # loads for somebody who mistyped only

    close = difflib.get_close_matches(word.lower(), lowered, n=1)
    if close:
        return f"; did you mean {lowered[close[0]]!r}?"
    return f"; known are {', '.join(sorted(known))}" if known else ""


def fields_below(model: type[BaseModel], path: Path) -> list[str]:
    """Return the names, as in YAML, of the fields that may stand at a path of a model."""
    for step in path:
        if isinstance(step, int):
            continue
        inner = next((f for f in model.model_fields.values() if f.alias == step), None)
        found = None if inner is None else _model_in(inner.annotation)
        if found is None:
            return []
        model = found
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in an annotation such as ``tuple[Route, ...]`` or ``Cache | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in inner if model is not None), None)

"""The checks of an answer's form, and what they make of it.

A pure function of text and contract. What can't be told is not held against an answer: it then
passes, or has no outcome where nothing could be looked at.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from remora.learning.signals import MEANINGS
from remora.outcomes import finishing
from remora.outcomes.answer import Answer
from remora.outcomes.categories import CATEGORIES
from remora.outcomes.code_form import blocks_of, holds_code, parses_as_python, python_of
from remora.outcomes.contracts import LONG_PROMPT_CHARACTERS, Contract
from remora.outcomes.json_schema import TooMuch
from remora.outcomes.refusals import is_refusal
from remora.records import Outcome

MAX_JSON_CHARACTERS: Final = 256 * 1024
"""A longer document is not parsed: whether it is JSON is then not told."""

EMPTY: Final = "non-empty"
REFUSAL: Final = "refusal"
TRUNCATED: Final = "truncated"
JSON: Final = "json"
SCHEMA: Final = "schema"
CODE: Final = "code"
LABEL: Final = "label"
NUMBER: Final = "number"
MIN_CHARACTERS: Final = "min-characters"
MAX_CHARACTERS: Final = "max-characters"
RATIO: Final = "ratio"

CATEGORY_OF: Final = {
    EMPTY: "empty_response",
    REFUSAL: "validation_failed",
    TRUNCATED: "malformed_output",
    JSON: "malformed_output",
    SCHEMA: "validation_failed",
    CODE: "malformed_output",
    LABEL: "validation_failed",
    NUMBER: "validation_failed",
    MIN_CHARACTERS: "validation_failed",
    MAX_CHARACTERS: "validation_failed",
    RATIO: "validation_failed",
}
"""Every check by its name, and why an answer was no good that failed it first."""

_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\d)")
_LABEL_MARKS: Final = " \t\r\n\"'`*_.,;:!()[]"
_LABEL_LEAD: Final = re.compile(r"(?:label|class|category|answer|sentiment|result)\s*[:=]\s*", re.I)
_LONGEST_LABEL_CHARACTERS: Final = 1000
_UNREAD: Final = object()


def evaluate(answer: Answer, contract: Contract) -> Outcome | None:
    """Check an answer; None where there is nothing to check.

    An answer that calls tools is half of a conversation: only that it was cut can be held against
    it.
    """
    if answer.calls_tools:
        failed = [TRUNCATED] if finishing.is_truncated(answer.finish_reason) else []
        return _failed(failed, answer) if failed else None
    failed = list(_failures(answer, contract))
    return _failed(failed, answer) if failed else _outcome("check_passed")


def provider_error(category: str) -> Outcome:
    """Say that no answer came, or an error in its place.

    Args:
        category: Why; one of `CATEGORIES`.
    """
    if category not in CATEGORIES:
        raise ValueError(f"{category!r} is no category of failure: take one of {CATEGORIES}")
    return _outcome("provider_error", category)


def _outcome(kind: str, category: str = "", failed: tuple[str, ...] = ()) -> Outcome:
    meaning = MEANINGS[kind]
    return Outcome(kind, meaning.strength, meaning.confidence, category, failed)


def _failed(failed: list[str], answer: Answer) -> Outcome:
    category = CATEGORY_OF[failed[0]]
    if failed[0] == TRUNCATED and finishing.is_out_of_context(answer.finish_reason):
        category = "context_exceeded"
    return _outcome("check_failed", category, tuple(failed))


def _failures(answer: Answer, contract: Contract) -> Iterator[str]:
    """Name what fails, what tells the most first."""
    text, reason = answer.text.strip(), answer.finish_reason
    if answer.is_refused or finishing.is_refused(reason) or is_refusal(text):
        if contract.refusals_fail:
            yield REFUSAL
        return
    if not text:
        yield TRUNCATED if finishing.is_truncated(reason) else EMPTY
        return
    if contract.labels:
        if label_form(text) not in contract.labels:
            yield LABEL
    elif finishing.is_truncated(reason) or finishing.is_broken(reason):
        yield TRUNCATED
    if not answer.is_partial:
        yield from _form_failures(answer, text, contract)
    yield from _length_failures(answer, text, contract)


def _form_failures(answer: Answer, text: str, contract: Contract) -> Iterator[str]:
    if contract.is_json or contract.schema is not None or answer.is_json_asked:
        yield from _json_failures(text, contract)
    if contract.code and _is_code(answer.text, contract.code) is False:
        yield CODE
    if contract.number is not None and not _has_number(text, *contract.number):
        yield NUMBER


def _length_failures(answer: Answer, text: str, contract: Contract) -> Iterator[str]:
    length = len(text)
    if length < contract.min_characters and not answer.is_partial:
        yield MIN_CHARACTERS
    if contract.max_characters is not None and length > contract.max_characters:
        yield MAX_CHARACTERS
    if answer.prompt_characters >= LONG_PROMPT_CHARACTERS and contract.needs_prompt:
        ratio = length / answer.prompt_characters
        too_much = contract.max_ratio is not None and ratio > contract.max_ratio
        if too_much or (ratio < contract.min_ratio and not answer.is_partial):
            yield RATIO


def _json_failures(text: str, contract: Contract) -> Iterator[str]:
    if len(text) > MAX_JSON_CHARACTERS:
        return
    try:
        document = _parsed(text)
    except RecursionError:
        return
    if document is _UNREAD:
        yield JSON
    elif contract.schema is not None and _mismatches(contract, document):
        yield SCHEMA


def _parsed(text: str) -> Any:
    """Read a document that is all of the text, or all of its only fenced block."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    blocks = blocks_of(text)
    try:
        return json.loads(blocks[0].code) if len(blocks) == 1 else _UNREAD
    except ValueError:
        return _UNREAD


def _mismatches(contract: Contract, document: object) -> bool:
    try:
        return contract.schema is not None and not contract.schema.takes(document)
    except TooMuch:
        return False


def _is_code(text: str, language: str) -> bool | None:
    if language != "python":
        return holds_code(text)
    code = python_of(text)
    return False if code is None else parses_as_python(code)


def label_form(text: str) -> str:
    """Give a label, or an answer that is one, as both are compared: no case, lead or marks."""
    plain = _said_in_json(text).strip(_LABEL_MARKS)
    if lead := _LABEL_LEAD.match(plain):
        plain = plain[lead.end() :].strip(_LABEL_MARKS)
    return plain.casefold()


def _said_in_json(text: str) -> str:
    """Give the one text in a small JSON object; else what was given."""
    if not text.startswith("{") or len(text) > _LONGEST_LABEL_CHARACTERS:
        return text
    try:
        values = list(json.loads(text).values())
    except (ValueError, RecursionError):
        return text
    said = [value for value in values if isinstance(value, str)]
    return said[0] if len(said) == 1 else text


def _has_number(text: str, low: float, high: float) -> bool:
    return any(low <= float(found) <= high for found in _NUMBER.findall(text[:4000]))

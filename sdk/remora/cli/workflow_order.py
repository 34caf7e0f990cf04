"""What `remora workflow run` is told: input, budget, and whose key goes along."""

import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

KEY_VARIABLES: Final = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "OPENROUTER_API_KEY",
    "GROQ_API_KEY",
)
"""Where people keep a provider's key, in the order in which they are looked at."""


class Limits(NamedTuple):
    """What the options say of a budget.

    Attributes:
        cost_usd: Decimal text; None: no limit.
        tokens: None: no limit.
        latency: A span such as ``30s``; None: no limit.
        on_exceed: None: as the sidecar has it.
    """

    cost_usd: str | None
    tokens: int | None
    latency: str | None
    on_exceed: str | None


def budget_of(limits: Limits) -> dict[str, Any] | None:
    """Make a budget; None where nothing was said.

    Raises:
        click.UsageError: A value can't be read, or there is no limit to exceed.
    """
    said = {
        "max_cost_usd": None if limits.cost_usd is None else _usd(limits.cost_usd),
        "max_tokens": limits.tokens,
        "max_latency_ms": None if limits.latency is None else _milliseconds(limits.latency),
    }
    budget: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if limits.on_exceed is None:
        return budget or None
    if not budget:
        raise click.UsageError(
            "--on-exceed needs a limit: give --budget-usd, --max-tokens or --max-latency"
        )
    return {**budget, "on_exceed": limits.on_exceed}


def _usd(text: str) -> str:
    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or usd < 0:
        raise click.UsageError(f"--budget-usd: {text!r} is no sum of dollars such as 0.25")
    return format(usd, "f")


def _milliseconds(text: str) -> int:
    from remora.policy.quantities import Duration

    try:
        span_ms = Duration.parse(text).milliseconds
    except ValueError as error:
        raise click.UsageError(f"--max-latency: {text!r} {error}") from None
    if not span_ms:
        raise click.UsageError("--max-latency: should be longer than nothing")
    return span_ms


def input_of(given: str | None, goal: str | None, members: Sequence[str]) -> Any:
    """Put the input together.

    Args:
        given: JSON, ``@file``, or ``-`` for standard input; None: an empty object.
        goal: Its member ``goal``.
        members: Each ``key=value``; a value that is JSON is read as JSON.

    Raises:
        click.UsageError: Something can't be read, or members are set of what is no object.
    """
    value = {} if given is None else _json(given)
    set_ = dict(_member(member) for member in members)
    if goal is not None:
        set_["goal"] = goal
    if not set_:
        return value
    if not isinstance(value, dict):
        raise click.UsageError("--goal and --set need an --input that is a JSON object")
    return {**value, **set_}


def _json(given: str) -> Any:
    where = "--input" if given != "-" and not given.startswith("@") else given
    try:
        return json.loads(_text(given))
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{where}: is no JSON: {error}") from None


def _text(given: str) -> str:
    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{given}: can't be read: {error.strerror}") from None


def _member(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--set: {text!r} should be key=value")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def key_of(variable: str | None, environment: Mapping[str, str]) -> str | None:
    """Find the provider's key that goes along, for models that policy has no key for.

    Args:
        variable: That holds it; None: the first of `KEY_VARIABLES` that is set.
        environment: Of this process.

    Raises:
        click.UsageError: The variable that was named is not set.
    """
    if variable is None:
        return next((environment[name] for name in KEY_VARIABLES if environment.get(name)), None)
    if not environment.get(variable):
        raise click.UsageError(f"--key-from: the variable {variable} is not set")
    return environment[variable]

"""A run of a workflow as a person watches it: its steps, and in the end its outputs. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from remora.cli.figures import NONE, UNKNOWN, clipped, money, plural, seconds, tokens, visible

_STYLES: Final = {
    "running": "cyan", "completed": "green", "failed": "red", "skipped": "dim",
    "defaulted": "yellow", "cancelled": "yellow", "budget_exceeded": "red",
}  # fmt: skip
_MAX_NOTE_CHARACTERS: Final = 100
_ENDS: Final = frozenset({"step_completed", "step_failed", "step_skipped"})


@dataclass
class Progress:
    """What is known of a run by its events.

    Attributes:
        execution_id: Empty until it is known.
        workflow: Its name.
        steps: By id, in the order in which they began.
        notes: What was said of the run as a whole, as lines.
        result: The execution, once it is over.
    """

    execution_id: str = ""
    workflow: str = ""
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    result: dict[str, Any] | None = None

    def take(self, event: Mapping[str, Any]) -> str:
        """Take in an event, and put it in a line; empty: it is not worth one."""
        kind = str(event["type"])
        if kind == "started":
            self.execution_id = str(event.get("execution_id", ""))
            self.workflow = str(event.get("workflow", ""))
            return f"{self.workflow}: run {self.execution_id}{_estimated(event.get('estimate'))}"
        if kind == "final":
            self.result = dict(event["result"])
            return ""
        if (step_id := event.get("step_id")) is not None and kind.startswith("step_"):
            return self._take_step(kind, str(step_id), event)
        line = _of_the_run(kind, event)
        self.notes.append(line)
        return line

    def _take_step(self, kind: str, step_id: str, event: Mapping[str, Any]) -> str:
        if kind == "step_started":
            self.steps[step_id] = {"step_id": step_id, "status": "running"}
            return f"{step_id}: asks"
        usual = kind.removeprefix("step_")
        step = {"status": usual, **event, "step_id": step_id}
        self.steps[step_id] = step
        return f"{step_id}: {', '.join(filter(None, _facts(step)))}"


def _facts(step: Mapping[str, Any]) -> Iterator[str]:
    yield str(step.get("status", ""))
    yield visible(str(step.get("model_id") or ""))
    if (latency_ms := step.get("latency_ms")) is not None:
        yield seconds(latency_ms / 1000)
    if step.get("model_id"):
        yield _money(step.get("cost_usd"))
    yield _remark(step)


def _remark(step: Mapping[str, Any]) -> str:
    """Say what else is to be known of a step: why it failed, or what was noted."""
    error = step.get("error")
    said = error.get("message") if isinstance(error, Mapping) else step.get("note")
    return clipped(visible(str(said or "")), _MAX_NOTE_CHARACTERS)


def _of_the_run(kind: str, event: Mapping[str, Any]) -> str:
    named = {name: event[name] for name in ("scope", "limit", "step_id") if event.get(name)}
    facts = ", ".join(f"{name} {visible(str(value))}" for name, value in named.items())
    return f"{kind.replace('_', ' ')}{f' ({facts})' if facts else ''}"


def _estimated(estimate: Any) -> str:
    most = estimate.get("most") if isinstance(estimate, Mapping) else None
    cost = most.get("cost_usd") if isinstance(most, Mapping) else None
    return f", at most {money(cost)}" if isinstance(cost, Decimal) else ""


def _money(value: Any) -> str:
    return money(value) if isinstance(value, Decimal) else UNKNOWN


def step_table(progress: Progress) -> Table:
    """Show the steps: state, model, time, cost; once the run is over as its result has them."""
    table = Table(box=None, pad_edge=False)
    for column in ("step", "status", "model", "time", "cost", ""):
        table.add_column(column, overflow="fold", justify="right" if column == "cost" else "left")
    steps = list(progress.steps.values()) if progress.result is None else progress.result["steps"]
    for step in steps:
        table.add_row(*_cells(step))
    return table


def _cells(step: Mapping[str, Any]) -> tuple[Text | str, ...]:
    status, latency_ms = str(step.get("status", "")), step.get("latency_ms")
    asked = bool(step.get("model_id"))
    return (
        Text(visible(str(step["step_id"]))),
        Text(status, style=_STYLES.get(status, "")),
        Text(visible(str(step.get("model_id") or NONE))),
        seconds(latency_ms / 1000) if latency_ms is not None and asked else NONE,
        _money(step.get("cost_usd")) if asked else NONE,
        Text(_remark(step)),
    )


def summary(result: Mapping[str, Any]) -> str:
    """Sum a run up in a line: how it ended, what it took."""
    took = seconds((result.get("total_latency_ms") or 0) / 1000)
    parts = [f"{visible(str(result['status']))} in {took}", _spent(result)]
    if (count := result.get("total_tokens")) is not None:
        parts.append(f"{tokens(count)} tokens")
    if downgraded := result.get("downgraded"):
        parts.append(f"downgraded: {', '.join(map(visible, map(str, downgraded)))}")
    return f"{', '.join(parts)}{_estimated(result.get('estimate'))}"


def _spent(result: Mapping[str, Any]) -> str:
    total, known = result.get("total_cost_usd"), result.get("known_cost_usd")
    if isinstance(total, Decimal) or not isinstance(known, Decimal):
        return _money(total)
    unpriced = plural(int(result.get("unpriced_calls") or 0), "call")
    return f"{money(known)} and {unpriced} of unknown cost"


def failure(result: Mapping[str, Any]) -> str:
    """Say why a run did not complete; empty if it did, or if nothing is known."""
    error = result.get("error")
    if not isinstance(error, Mapping):
        return ""
    where = f"step {visible(str(error['step_id']))}: " if error.get("step_id") else ""
    return f"{where}{visible(str(error.get('message') or error.get('code') or ''))}"


def output_text(outputs: Mapping[str, Any], *, for_terminal: bool) -> str:
    """Write what a run gave: one text as it is, several below their names, null not at all.

    Args:
        outputs: By name.
        for_terminal: Whether control characters are to do nothing.
    """
    given = {name: value for name, value in outputs.items() if value is not None}
    written = {name: _written(value, for_terminal) for name, value in given.items()}
    if len(outputs) == 1:
        return "".join(written.values())
    shown = (f"{visible(name)}:\n{text}" for name, text in written.items())
    return "\n\n".join(shown)


def _written(value: Any, for_terminal: bool) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    if not for_terminal:
        return text
    return "\n".join(visible(line.replace("\t", "    ")) for line in text.split("\n"))

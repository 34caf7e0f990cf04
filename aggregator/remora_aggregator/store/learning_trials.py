"""Trials in the store's tables, read and written within its transactions."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from remora.learning.arms import Arm
from remora.learning.evidence import Evidence, Source
from remora_aggregator.signals.judging import KnownCall, KnownTrial
from remora_aggregator.signals.trial import ArmTrial
from remora_aggregator.store.facts import Value, column_text
from remora_aggregator.store.learning_changes import note_changes
from remora_aggregator.store.learning_places import ARM, arm_key, arm_of
from remora_aggregator.store.learning_rows import Rows
from remora_aggregator.store.learning_schema import KEPT_TRIAL
from remora_aggregator.store.learning_sums import SumChanges, place_of

type CallId = tuple[str, str]
"""A namespace, and the id of one of its calls."""

type Calls = Mapping[CallId, KnownCall]

_KEY: Final = KEPT_TRIAL[:3]
_REST: Final = KEPT_TRIAL[3:]

TRIAL_COLUMNS: Final = ", ".join((
    *(f"trials.{column}" for column in KEPT_TRIAL),
    *(f"score_places.{column}" for column in ("workload", *ARM)),
))  # fmt: skip
TRIAL_TABLES: Final = "trials join score_places on score_places.place = trials.place"

_INFERRED: Final = KEPT_TRIAL.index("inferred_source")
_COUNTED: Final = KEPT_TRIAL.index("source")

_SHORT_CHARS: Final = 120
"""All texts together are shorter most often, and so is each of them."""


def fit(trial: ArmTrial) -> ArmTrial:
    """Shorten what goes into columns that are indexed; what is inferred is nobody's."""
    arm, inferred = trial.arm, trial.inferred
    texts = (
        arm.provider, arm.model, trial.workload, trial.session_id, trial.task_id, trial.rule,
        trial.requested_model, "" if inferred is None else inferred.signal_id + inferred.reporter,
    )  # fmt: skip
    if not texts[-1] and len("".join(texts)) <= _SHORT_CHARS and "\0" not in "".join(texts):
        return trial
    return replace(
        trial,
        arm=Arm(column_text(arm.provider), column_text(arm.model), arm.parameters),
        inferred=None if inferred is None else inferred._replace(signal_id="", reporter=""),
        workload=column_text(trial.workload),
        session_id=column_text(trial.session_id),
        task_id=column_text(trial.task_id),
        rule=column_text(trial.rule),
        requested_model=column_text(trial.requested_model),
    )


class TrialTables:
    """Reads and writes trials in one transaction."""

    def __init__(self, rows: Rows) -> None:
        """Take the transaction."""
        self._rows = rows

    def of_calls(self, calls: Iterable[CallId]) -> dict[CallId, KnownCall]:
        """Read the trials of calls."""
        sql = (
            f"select {TRIAL_COLUMNS} from {TRIAL_TABLES} "  # noqa: S608 - our own words
            "where (trials.namespace, trials.call_id) in {}"
        )
        found: dict[CallId, dict[str, KnownTrial]] = {}
        for row in self._rows.among(sql, calls):
            namespace, known = known_trial(row)
            key = namespace, known.trial.call_id
            found.setdefault(key, {})[known.trial.arm.key] = known
        return dict(found)

    def replace(self, before: Calls, after: Calls) -> None:
        """Write what is known of calls now, with all sums that change."""
        changes = SumChanges()
        written: list[tuple[str, KnownTrial]] = []
        gone: list[tuple[Value, ...]] = []
        for key, known in after.items():
            namespace, call_id = key
            old = before.get(key, {})
            for arm in {*old, *known}:
                one, other = old.get(arm), known.get(arm)
                if one == other:
                    continue
                changes.replace(namespace, one, other)
                if other is not None:
                    written.append((namespace, other))
                elif one is not None:
                    gone.append((namespace, call_id, arm_key(one.trial.arm)))
        self._delete(gone)
        numbers = changes.write(self._rows)
        self._rows.put("trials", _KEY, _REST, [
            _row(namespace, known, numbers[place_of(namespace, known)])
            for namespace, known in written
        ])  # fmt: skip
        note_changes(self._rows, changes.last_ms)

    def _delete(self, gone: Sequence[tuple[Value, ...]]) -> None:
        sql = "delete from trials where (namespace, call_id, arm) in {}"
        for _ in self._rows.among(sql, gone):
            pass


def known_trial(row: Sequence[Any]) -> tuple[str, KnownTrial]:
    """Read `TRIAL_COLUMNS`; gives the namespace, too."""
    at = dict(zip((*KEPT_TRIAL, "workload", *ARM), row, strict=True))
    trial = ArmTrial(
        call_id=at["call_id"],
        goal=at["goal"],
        arm=arm_of(*(at[name] for name in ARM)),
        at_ms=at["at_ms"],
        workload=at["workload"],
        is_answer=bool(at["is_answer"]),
        inferred=_inferred(row[_INFERRED : _INFERRED + 5]),
        failure_category=at["inferred_category"],
        cost_usd=_maybe(Decimal, at["cost_usd"]),
        latency_ms=at["latency_ms"],
        propensity=at["propensity"],
        arms=tuple(json.loads(at["arms"])),
        rule=at["rule"],
        requested_model=at["requested_model"],
        session_id=at["session_id"],
        task_id=at["task_id"],
    )
    evidence = _counted(row[_COUNTED : _COUNTED + 7])
    category = at["failure_category"]
    return at["namespace"], KnownTrial(trial, evidence, category, at["pod_uid"], at["goal_by"])


def _inferred(row: Sequence[Any]) -> Evidence | None:
    source, strength, confidence, at_ms, kind = row
    if source is None:
        return None
    return Evidence(Source(source), strength, confidence, at_ms, "", kind)


def _counted(row: Sequence[Any]) -> Evidence | None:
    source, *rest = row
    return None if source is None else Evidence(Source(source), *rest)


def _maybe[T](make: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else make(value)


def _row(namespace: str, known: KnownTrial, place: int) -> tuple[Value, ...]:
    trial, inferred = known.trial, known.trial.inferred
    told = (None,) * 5 if inferred is None else (*_fixed(inferred), inferred.kind)
    counted = known.evidence
    counts = (
        (None,) * 7
        if counted is None
        else (*_fixed(counted), counted.signal_id, counted.kind, counted.reporter)
    )
    return (
        namespace, trial.call_id, arm_key(trial.arm), known.pod_uid, place, trial.goal,
        known.goal_by, trial.at_ms, int(trial.is_answer), *told, trial.failure_category,
        *counts, known.failure_category,
        None if trial.cost_usd is None else format(trial.cost_usd, "f"), trial.latency_ms,
        trial.propensity, json.dumps(trial.arms), trial.rule, trial.requested_model,
        trial.session_id, trial.task_id,
    )  # fmt: skip


def _fixed(evidence: Evidence) -> tuple[int, float, float, int]:
    # Whole numbers, too, are written as what the columns hold.
    return (
        int(evidence.source),
        float(evidence.strength),
        float(evidence.confidence),
        evidence.at_ms,
    )

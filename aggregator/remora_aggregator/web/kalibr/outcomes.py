"""Outcomes: ``/api/v1/intelligence/report-outcome`` and ``…/update-outcome``."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from aiohttp import web

from remora.learning.arms import Arm
from remora.learning.evidence import Evidence, Source
from remora_aggregator.service.permissions import Act
from remora_aggregator.signals.kalibr_failures import category_of, facts_of
from remora_aggregator.signals.kalibr_models import arm_of, call_id_of, pooled, provider_and_model
from remora_aggregator.signals.kalibr_paths import Path
from remora_aggregator.signals.kalibr_runs import (
    KIND,
    Report,
    Run,
    Verdict,
    corrected,
    reported,
    trials_of,
)
from remora_aggregator.signals.signal import Signal
from remora_aggregator.store.kalibr_runs import Change
from remora_aggregator.web.answering import in_time, json_answer
from remora_aggregator.web.front import front_of
from remora_aggregator.web.kalibr.asking import operation
from remora_aggregator.web.kalibr.bodies import OutcomeBody
from remora_aggregator.web.kalibr.reading import NothingAsked, body_of, goal_in, namespace_of
from remora_aggregator.web.kalibr.room import Room, room_of
from remora_aggregator.web.problems import ApiProblem


async def report(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Take what became of one model's answer."""
    del asked
    body, room = await _outcome(request), room_of(request)
    namespace, verdict = namespace_of(request), _verdict(body)
    if verdict.success is None and verdict.score is None:
        raise ApiProblem(400, "The outcome says nothing of success.", "bad-member", "success")
    async with in_time(front_of(request).bounds):
        paths = await room.paths.paths(namespace, body.goal)

        def change(known: Run | None) -> Run:
            run = _begun(known, body, room)
            arm = reported_arm(run, body, paths)
            if arm is None:
                return corrected(run, verdict, room.now_ms)
            return reported(run, Report(arm, verdict, room.now_ms))

        run = await _judged(room, namespace, body, change)
    answer = {
        "status": "accepted",
        "success": True,
        "outcome_id": run.call_id,
        "message": "accepted",
    }
    return json_answer({**answer, "trace_id": body.trace_id, "goal": body.goal})


async def update(request: web.Request, asked: NothingAsked) -> web.StreamResponse:
    """Correct what was said of an answer, or say it before anybody else does."""
    del asked
    body, room = await _outcome(request), room_of(request)
    namespace, verdict = namespace_of(request), _verdict(body)
    async with in_time(front_of(request).bounds):
        await _judged(
            room, namespace, body,
            lambda known: corrected(_begun(known, body, room), verdict, room.now_ms),
        )  # fmt: skip
    fields = verdict.said
    if body.failure_reason and "failure_category" in fields:
        fields.append("failure_reason")
    answer = {"status": "updated", "trace_id": body.trace_id, "goal": body.goal}
    return json_answer({**answer, "fields_updated": fields})


async def _outcome(request: web.Request) -> OutcomeBody:
    body = await body_of(request, OutcomeBody)
    goal_in(pooled(goal_in(body.goal), body.pipeline_id))
    if not body.trace_id:
        raise ApiProblem(400, "The outcome names no trace.", "bad-member", where="trace_id")
    return body


def _verdict(body: OutcomeBody) -> Verdict:
    category = category_of(body.failure_category, body.failure_reason)
    return Verdict(body.success, body.score, category or None, facts_of(body.metadata))


def _begun(known: Run | None, body: OutcomeBody, room: Room) -> Run:
    pool = pooled(body.goal, body.pipeline_id)
    if known is None:
        return Run(call_id_of(body.trace_id), pool, room.now_ms)
    return known if known.goal else replace(known, goal=pool)


def reported_arm(run: Run, body: OutcomeBody, paths: Sequence[Path]) -> Arm | None:
    """Say whose answer an outcome is about: as it was decided, else by the model's name.

    Args:
        run: Whose decision says which of several paths of one model was taken.
        body: The outcome.
        paths: All of the goal, disabled ones too.

    Returns:
        None where nobody says.
    """
    if not body.model_id:
        return run.answered
    model = provider_and_model(body.model_id)
    if run.arm is not None and (run.arm.provider, run.arm.model) == model:
        return run.arm
    named = arm_of(body.model_id, body.tool_id, body.execution_params)
    arms = [path.arm for path in paths if provider_and_model(path.model_id) == model]
    if named in arms:
        return named
    return arms[0] if len(arms) == 1 else arm_of(body.model_id)


async def _judged(room: Room, namespace: str, body: OutcomeBody, change: Change) -> Run:
    """Change a run, and have what it says of answers count."""
    run = await room.runs.change(namespace, call_id_of(body.trace_id), change)
    # Also where nothing changed: whoever reports again may have been cut off in between.
    trials = trials_of(run)
    if trials:
        await room.signals.take_trials(namespace, trials)
    elif run.answered is None:
        signal = _waiting(room, namespace, run)
        if signal is not None:
            await room.signals.take([signal])
    return run


def _waiting(room: Room, namespace: str, run: Run) -> Signal | None:
    """Say what is known of a call that nobody told of: its record may come from a sidecar."""
    strength = run.correction.strength
    if strength is None:
        return None
    name = f"outcome-{run.call_id[:20]}-{run.said_ms}"
    evidence = Evidence(Source.EXPLICIT, strength, 1.0, run.said_ms, name, KIND)
    return Signal(
        namespace, name, run.call_id, evidence, room.now_unix_ns,
        failure_category=run.correction.failure_category, goal=run.goal,
    )  # fmt: skip


OPERATIONS: Final = (
    operation(
        "POST", "/api/v1/intelligence/report-outcome", "ReportOutcome", report, Act.SEND_SIGNALS
    ),
    operation(
        "POST", "/api/v1/intelligence/update-outcome", "UpdateOutcome", update, Act.SEND_SIGNALS
    ),
)

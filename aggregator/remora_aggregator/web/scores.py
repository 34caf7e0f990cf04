"""The resources ``/v1/scores`` and ``/v1/benchmarks``: how goals, arms and models do."""

from typing import Final

from aiohttp import web

from remora.cli.score_json import benchmark_json, goal_json, timeline_json
from remora.client.score_report import benchmark_of, goal_report_of, timeline_point_of
from remora_aggregator.service.permissions import Act
from remora_aggregator.web.answering import in_time, rendered
from remora_aggregator.web.callers import caller_of
from remora_aggregator.web.front import front_of
from remora_aggregator.web.operation import Operation, json_of
from remora_aggregator.web.question import about, moment
from remora_aggregator.web.score_answer import BenchmarksAnswer, GoalsAnswer, TimelineAnswer
from remora_aggregator.web.score_parameters import (
    BenchmarkParameters,
    ScoreParameters,
    TimelineParameters,
)
from remora_aggregator.web.tasks import asked_namespaces


def namespace_of(request: web.Request, wanted: str) -> str:
    """Say whose scores are asked for; raises BadRequest where the caller may not see them."""
    with about("namespace"):
        return caller_of(request).namespace_of(wanted)


async def list_goals(request: web.Request, asked: ScoreParameters) -> web.StreamResponse:
    """Answer with how goals do."""
    front, namespace = front_of(request), namespace_of(request, asked.namespace)
    async with in_time(front.bounds):
        with about("goal"):
            found = await front.learned.reports.scores(
                namespace, asked.goal, workload=asked.workload, window_s=asked.window_s
            )
    return await rendered(lambda: {"goals": [goal_json(goal_report_of(g)) for g in found.goals]})


async def show_timeline(request: web.Request, asked: TimelineParameters) -> web.StreamResponse:
    """Answer with how a goal's arms did over time."""
    front, namespace = front_of(request), namespace_of(request, asked.namespace)
    now = front.clock.now_unix_ns()
    since, until = moment("since", asked.since, now), moment("until", asked.until, now)
    async with in_time(front.bounds):
        with about("goal"):
            found = await front.learned.reports.timeline(
                namespace, asked.goal, since_unix_ns=since, until_unix_ns=until,
                points=asked.points,
            )  # fmt: skip
    return await rendered(
        lambda: {"points": [timeline_json(timeline_point_of(one)) for one in found.points]}
    )


async def list_benchmarks(request: web.Request, asked: BenchmarkParameters) -> web.StreamResponse:
    """Answer with what models were measured to do."""
    front, caller = front_of(request), caller_of(request)
    now = front.clock.now_unix_ns()
    since, until = moment("since", asked.since, now), moment("until", asked.until, now)
    with about("namespace"):
        namespaces = asked_namespaces(caller, asked.namespace)
    async with in_time(front.bounds):
        with about("goal"):
            found = await front.learned.reports.benchmarks(
                namespaces, since_unix_ns=since, until_unix_ns=until, goal=asked.goal,
                only_pod_uid=caller.scope.pod_uid,
            )  # fmt: skip
    return await rendered(
        lambda: {"benchmarks": [benchmark_json(benchmark_of(one)) for one in found.benchmarks]}
    )


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/scores", "listScores", "Say how well arms do for goals",
        parameters=ScoreParameters, handler=list_goals, answer=json_of(GoalsAnswer),
        act=Act.READ_SCORES,
    ),
    Operation(
        "GET", "/v1/scores/timeline", "showTimeline", "Say how a goal's arms did over time",
        parameters=TimelineParameters, handler=show_timeline, answer=json_of(TimelineAnswer),
        act=Act.READ_SCORES,
    ),
    Operation(
        "GET", "/v1/benchmarks", "listBenchmarks", "Say what models were measured to do",
        parameters=BenchmarkParameters, handler=list_benchmarks,
        answer=json_of(BenchmarksAnswer), act=Act.READ_SCORES,
    ),
)  # fmt: skip

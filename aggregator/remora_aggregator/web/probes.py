"""Probes and scrapes: anybody's, by any name, and nothing of requests in them."""

from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ConfigDict, Field

from remora_aggregator.web.answering import json_answer
from remora_aggregator.web.front import front_of
from remora_aggregator.web.operation import Content, Operation, json_of
from remora_aggregator.web.parameters import NoParameters
from remora_aggregator.web.record_answer import Answer


class HealthAnswer(Answer):
    """The process answers."""

    model_config = ConfigDict(title="Health")

    ok: bool


class ReadinessAnswer(Answer):
    """Whether the aggregator can do its work."""

    model_config = ConfigDict(title="Readiness")

    ready: bool
    problems: list[str] = Field(description="Why not; empty where it is.")


async def healthz(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Answer at all."""
    del request, asked
    return json_answer({"ok": True})


async def readyz(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Say 200 while records can be written and read, else 503 and why not."""
    del asked
    problems = await front_of(request).readiness.problems()
    content = {"ready": not problems, "problems": problems}
    return json_answer(content, status=503 if problems else 200)


async def metrics(request: web.Request, asked: NoParameters) -> web.StreamResponse:
    """Give the figures as Prometheus reads them."""
    del asked
    front = front_of(request)
    await front.readiness.problems()  # reads where the newest record stands
    text = generate_latest(front.metrics.registry)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


OPERATIONS: Final = (
    Operation(
        "GET", "/healthz", "healthz", "Tell that the process answers",
        parameters=NoParameters, handler=healthz, answer=json_of(HealthAnswer),
        act=None, is_open=True, takes_place=False,
    ),
    Operation(
        "GET", "/readyz", "readyz", "Tell whether the aggregator can do its work",
        parameters=NoParameters, handler=readyz, answer=json_of(ReadinessAnswer),
        others=((503, json_of(ReadinessAnswer, "It can't, or it is stopping.")),),
        act=None, is_open=True, takes_place=False,
    ),
    Operation(
        "GET", "/metrics", "metrics", "Give figures to Prometheus",
        parameters=NoParameters, handler=metrics,
        answer=Content("text/plain", None, "Prometheus' text format."),
        act=None, is_open=True, takes_place=False,
    ),
)  # fmt: skip

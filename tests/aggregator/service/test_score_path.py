"""From records and signals to scores, through a whole aggregator."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from remora.clock import SystemClock
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import (
    records_pb2,
    records_pb2_grpc,
    scores_pb2,
    scores_pb2_grpc,
    signals_pb2,
    signals_pb2_grpc,
)

WITHIN_S = 30.0


class Path:
    """An aggregator and its callers."""

    def __init__(self, channel):  # noqa: D107
        self.scores = scores_pb2_grpc.ScoreServiceStub(channel)
        self.signals = signals_pb2_grpc.SignalServiceStub(channel)
        self._records = records_pb2_grpc.RecordServiceStub(channel)
        self._sequence = 0

    async def report(self, *records):
        entries = []
        for record in records:
            self._sequence += 1
            entries.append(records_pb2.ReportRequest.Entry(sequence=self._sequence, record=record))
        hello = records_pb2.ReportRequest.Hello(pod_uid="pod-1")
        report = self._records.Report()
        await report.write(records_pb2.ReportRequest(hello=hello, entries=entries))
        answer = await report.read()
        await report.done_writing()
        assert len(answer.acknowledged) == len(records), answer.refused

    async def said(self, number, kind="user_accepted"):
        signal = signals_pb2.Signal(
            signal_id=f"{kind}-{number}", call_id=f"{number:032x}", kind=kind
        )
        answer = await self.signals.Send(signals_pb2.SendSignalsRequest(signals=[signal]))
        assert answer.accepted == 1

    @asynccontextmanager
    async def watch(self, goal):
        wanted = [scores_pb2.WatchScoresRequest.Wanted(goal=goal)]
        call = self.scores.Watch(scores_pb2.WatchScoresRequest(wanted=wanted))
        try:
            yield call
        finally:
            call.cancel()


@pytest.fixture
async def path():
    async with (
        temporary_aggregator() as aggregator,
        grpc.aio.insecure_channel(aggregator.address) as channel,
    ):
        yield Path(channel)


@pytest.fixture
def called(make_record):
    """Make records of calls of one goal that just began."""

    def make(number, model="a", **fields):
        now = SystemClock().now_unix_ns()
        given = {
            "attribution": records_pb2.Attribution(session_id="default", goal="write"),
            "sent_model": model,
            "started_unix_nano": now - 10**9 + number,
            **fields,
        }
        return make_record(number, **given)

    return make


async def until(watch, fits):
    async with asyncio.timeout(WITHIN_S):
        while True:
            message = await watch.read()
            if message.HasField("scores") and fits(message.scores):
                return message.scores


async def test_what_is_said_of_an_answer_reaches_who_watches(path, called):
    async with path.watch("write") as watch:
        await path.report(called(1))
        await path.said(1)
        scores = await until(watch, lambda scores: scores.arms and scores.arms[0].samples)
        [arm] = scores.arms
        assert (arm.arm.provider, arm.arm.model, arm.samples) == ("openai", "a", 1)
        assert arm.posterior.good == pytest.approx(1.85)
        assert arm.cost_usd == pytest.approx(0.0001)
        await path.said(1, "output_discarded")
        worse = await until(watch, lambda scores: scores.arms[0].posterior.bad > 1.5)
        assert worse.arms[0].posterior.good == 1


async def test_models_are_measured(path, called):
    records = [called(number, latency_s=0.5, ttft_s=0.1) for number in range(1, 10)]
    records.append(called(10, "b", latency_s=2.0, cost=records_pb2.Cost(total_usd="0.5")))
    records.append(called(11, latency_s=0.001, cached=True))
    records.append(called(12, status_code=500, usage=None, cost=None))
    other = records_pb2.Attribution(session_id="default", goal="read")
    records.append(called(13, "c", attribution=other, cost=None))
    await path.report(*records)
    for number in range(1, 5):
        await path.said(number, "user_rejected")
    await path.said(11)
    everything = (await path.scores.Benchmarks(scores_pb2.BenchmarksRequest())).benchmarks
    assert [(one.provider, one.model, one.calls) for one in everything] == [
        ("openai", "a", 10), ("openai", "b", 1), ("openai", "c", 1),
    ]  # fmt: skip
    a, b, _ = everything
    assert (a.errors, b.errors) == (1, 0)
    assert a.latency_p50_s == pytest.approx(0.5, rel=0.02)
    assert b.latency_p95_s == pytest.approx(2.0, rel=0.02)
    assert a.ttft_p50_s == pytest.approx(0.1, rel=0.02)
    assert not b.HasField("ttft_p50_s")
    assert b.output_tokens_per_s == pytest.approx(2.5)
    assert (a.mean_cost_usd, b.mean_cost_usd) == ("0.0001", "0.5")
    assert a.evidence.bad > 4
    assert 0 < a.low < a.acceptance < a.high < 1
    read = (await path.scores.Benchmarks(scores_pb2.BenchmarksRequest(goal="read"))).benchmarks
    assert [one.model for one in read] == ["c"]


async def test_scores_are_among_the_services_that_are_well(path):
    answer = await path.scores.Versions(scores_pb2.VersionsRequest())
    assert list(answer.versions) == []

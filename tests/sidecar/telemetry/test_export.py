"""The export thread: what it sends, what it drops, and that nobody waits for it."""

import asyncio
import threading

import pytest
from prometheus_client.core import GaugeMetricFamily

from remora.clock import SystemClock
from remora.records import Body, CallRecord
from remora.telemetry.export import NOT_TAKEN, QUEUE_FULL, TelemetryExport
from remora.telemetry.record_form import OWN_CALLS
from remora.telemetry.settings import Destination, ExportPlan

TO = Destination("http://127.0.0.1:1", "grpc")


class Sink:
    """Takes exports as a test wants them taken."""

    def __init__(self) -> None:
        """Take everything at once."""
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.answers = []
        self.calls, self.metrics, self.closed = [], [], False

    def send_calls(self, records):
        self.entered.set()
        self.gate.wait(20)
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        if answer:
            self.calls.extend(records)
        return answer

    def send_metrics(self, families, *, started_unix_ns, now_unix_ns):
        self.metrics.append((list(families), started_unix_ns, now_unix_ns))
        return True

    def shutdown(self):
        self.closed = True
        self.gate.set()


def _plan(**changed):
    given = {
        "traces": TO, "metrics": TO, "metrics_every_s": 3600.0, "spans_every_s": 3600.0,
        "max_waiting": 100, "max_batch": 10, **changed,
    }  # fmt: skip
    return ExportPlan(**given)


def _export(sink, **changed):
    gauge = GaugeMetricFamily("g", "g", 1)
    return TelemetryExport(
        _plan(**changed),
        connect=lambda: sink,
        collect=lambda: [gauge],
        clock=SystemClock(),
        bare=OWN_CALLS.bare,
    )


def _record(number=0, **fields):
    return CallRecord(call_id=f"{number:032x}", started_unix_ns=1, **fields)


async def test_what_waits_is_sent_at_the_end_with_the_last_metrics():
    sink = Sink()
    export = _export(sink)
    export.start()
    for number in range(25):
        export.take(_record(number))
    await export.aclose(10)
    assert [int(record.call_id, 16) for record in sink.calls] == list(range(25))
    assert len(sink.metrics) == 1
    assert sink.closed
    assert export.dropped == {}


async def test_a_full_batch_is_sent_at_once():
    sink = Sink()
    export = _export(sink)
    export.start()
    for number in range(10):
        export.take(_record(number))
    assert await asyncio.to_thread(sink.entered.wait, 20)
    await export.aclose(10)


async def test_no_body_waits_for_export():
    sink = Sink()
    export = _export(sink)
    body = Body(b"a secret prompt", 15)
    export.take(_record(request_body=body, response_body=body))
    export.start()
    await export.aclose(10)
    assert sink.calls[0].request_body is None
    assert sink.calls[0].response_body is None


async def test_a_slow_collector_costs_spans_and_nothing_else():
    sink = Sink()
    sink.gate.clear()
    export = _export(sink, max_waiting=10)
    export.start()
    for number in range(10):
        export.take(_record(number))
    assert await asyncio.to_thread(sink.entered.wait, 20)
    for number in range(30):
        export.take(_record(number))
    assert export.dropped[QUEUE_FULL] == 20
    sink.gate.set()
    await export.aclose(10)
    assert len(sink.calls) == 20


async def test_an_export_that_hangs_is_left_when_the_time_is_up():
    sink = Sink()
    sink.gate.clear()
    export = _export(sink)
    export.start()
    export.take(_record())
    started_s = SystemClock().monotonic_s()
    await export.aclose(0.05)
    assert SystemClock().monotonic_s() - started_s < 5
    assert sink.closed


@pytest.mark.parametrize("answer", [False, RuntimeError("broken")])
async def test_what_is_not_taken_is_counted_and_said_once(answer, caplog):
    caplog.set_level("INFO")
    sink = Sink()
    sink.answers = [answer, answer, True]
    export = _export(sink)
    for number in range(25):
        export.take(_record(number))
    export.start()
    await export.aclose(10)
    assert export.dropped == {NOT_TAKEN: 20}
    assert len(sink.calls) == 5
    assert caplog.text.count("takes nothing") == 1
    assert caplog.text.count("takes exports again") == 1


async def test_a_sink_that_can_not_be_made_turns_the_export_off(caplog):
    def connect():
        raise ValueError("no such certificate")

    export = TelemetryExport(
        _plan(), connect=connect, collect=list, clock=SystemClock(), bare=OWN_CALLS.bare
    )
    export.start()
    await export.aclose(10)
    export.take(_record())
    assert "no such certificate" in caplog.text
    assert len(export._waiting) == 0


async def test_metrics_go_out_at_their_interval():
    sink = Sink()
    export = _export(sink, traces=None, metrics_every_s=0.01)
    export.take(_record())
    export.start()
    async with asyncio.timeout(20):
        while len(sink.metrics) < 3:  # noqa: ASYNC110 - the thread signals nothing
            await asyncio.sleep(0.005)
    await export.aclose(10)
    assert sink.calls == []

"""Probes mean what they say, and figures are those of the page."""

import re
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from remora.errors import Unavailable
from remora.telemetry.metric_names import metric_name
from remora.testing.clock import ManualClock
from remora_aggregator.web.metrics import AggregatorMetrics, LearningFigures, SidecarFigures
from remora_proto.v1 import records_pb2 as pb

PAGE = Path(__file__).parents[3] / "docs" / "observability.md"


async def figures(api):
    families = text_string_to_metric_families((await api.get("/metrics")).body.decode())
    return {
        (sample.name.removeprefix("remora_aggregator_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


async def test_the_aggregator_is_healthy_and_ready(api):
    assert (await api.get("/healthz")).json == {"ok": True}
    answer = await api.get("/readyz")
    assert (answer.status, answer.json) == (200, {"ready": True, "problems": []})


async def test_a_store_that_can_not_be_read_is_not_ready(api):
    api.store.backend.writer.execute("drop table records")
    answer = await api.get("/readyz")
    assert (answer.status, answer.json["ready"]) == (503, False)
    assert answer.json["problems"] == ["the store can't be read: no such table: records"]


async def test_a_store_that_can_not_be_written_is_not_ready_until_it_can(open_api, call):
    clock = ManualClock()
    async with open_api(clock=clock) as api:
        api.store.backend.writer.set_authorizer(_deny)
        with pytest.raises(Unavailable, match="can't be written"):
            await api.put(call(1))
        answer = await api.get("/readyz")
        assert (answer.status, len(answer.json["problems"])) == (503, 1)
        assert "can't be written" in answer.json["problems"][0]
        counted = await figures(api)
        # Two, with its own trial.
        assert (counted["store_problem",], counted["commits_failed_total",]) == (1, 2)
        api.store.backend.writer.set_authorizer(None)
        clock.advance(1)
        assert (await api.get("/readyz")).status == 200
        await api.put(call(1))


def _deny(*_):
    return sqlite3.SQLITE_DENY


async def test_the_store_is_asked_no_more_often_than_once_a_second(open_api):
    clock = ManualClock()
    async with open_api(clock=clock) as api:
        assert (await api.get("/readyz")).status == 200
        api.store.backend.writer.execute("drop table records")
        assert (await api.get("/readyz")).status == 200
        clock.advance(1)
        assert (await api.get("/readyz")).status == 503


async def test_records_commits_and_requests_are_counted(api, call):
    await api.put(call(1), call(2, request_body=pb.Body(content=b"12345")))
    await api.put(call(1), call(3, call_id="short"))
    await api.get("/v1/records")
    await api.get(f"/v1/records/{1:032x}")
    await api.get(f"/v1/records/{9:032x}")
    await api.get("/nowhere/at/all")
    counted = await figures(api)
    assert counted["records_total", "stored"] == 2
    assert counted["records_total", "known"] == 1
    assert counted["records_total", "unfit"] == 1
    assert counted["records_total", "clash"] == 0
    assert counted["commit_records_sum",] == 4
    assert counted["commit_seconds_count",] == 2
    assert counted["body_bytes_total",] == 5
    assert counted["last_position",] == 2
    assert counted["waiting_batches",] == 0
    assert counted["store_problem",] == 0
    assert counted["http_requests_total", "/v1/records", "200"] == 1
    assert counted["http_requests_total", "/v1/records/{call_id}", "200"] == 1
    assert counted["http_requests_total", "/v1/records/{call_id}", "404"] == 1
    assert counted["http_requests_total", "other", "404"] == 1
    assert counted["http_connections",] == 1


async def test_nothing_of_requests_is_in_the_figures(api, call):
    await api.put(call(1, requested_model="secret-model"))
    await api.get("/v1/records?model=secret-model&session_id=secret-session")
    await api.get("/secret-path")
    text = (await api.get("/metrics")).body.decode()
    assert "secret" not in text


async def test_what_the_database_says_stays_inside_where_strangers_ask(open_api, tmp_path):
    from remora_aggregator.web.readiness import Readiness

    async with open_api() as api:
        api.store.backend.writer.execute("drop table records")
        readiness = Readiness(api.store, ManualClock(), tells_reasons=False)
        assert await readiness.problems() == ["the store can't be read"]


def _families():
    metrics = AggregatorMetrics("1.2.3")

    class Store:
        outcomes, problem, failed_commits, waiting_batches, follower_count = Counter(), "", 0, 0, 0

    class Connections:
        made_way = turned_away = 0

        def __len__(self):
            return 0

    class Position:
        last_position = 1

    metrics.watch_store(Store())
    metrics.watch_connections(Connections())
    metrics.watch_position(Position())
    metrics.watch_sidecars(lambda: SidecarFigures(1, 1, 2, 300))
    metrics.watch_learning(lambda: LearningFigures(1, 2, Counter(), Counter()))
    metrics.watch_export(Counter(queue_full=1))
    metrics.count_request("/v1/records", 200)
    return list(metrics.registry.collect())


def _row(family):
    labels = [name for name in family.samples[0].labels if name != "le"]
    scraped = f"{family.name}_total" if family.type == "counter" else family.name
    told = ", ".join(f"`{label}`" for label in labels) or "-"
    name, _ = metric_name(family.name)
    return f"| `{scraped}` | `{name}` | {family.type} | {told} | {family.documentation} |"


def test_the_page_lists_every_metric_and_no_other():
    rows = re.findall(r"^\| `remora_aggregator_.*$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(map(_row, _families()))

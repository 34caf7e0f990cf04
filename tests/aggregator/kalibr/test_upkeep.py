"""What clients sent is forgotten when its time is over; what was learned of it, and paths, stay."""

import pytest

from remora.clock import SystemClock
from remora_aggregator.store.kalibr_upkeep import KalibrUpkeep
from remora_aggregator.store.retention import Retention

OUTCOME = {"goal": "birds", "success": True, "model_id": "gpt-4o"}
RUNS = "/api/v1/intelligence/report-outcome"


@pytest.mark.parametrize("is_over", [True, False])
async def test_what_is_old_is_forgotten(any_api, is_over):
    await any_api.post("/api/v1/routing/paths", {"goal": "birds", "model_id": "gpt-4o"})
    run = await any_api.post("/api/v1/routing/decide", {"goal": "birds"})
    await any_api.post(RUNS, {**OUTCOME, "trace_id": run["trace_id"]})
    await any_api.post("/api/ingest", {"events": [{"trace_id": "t", "span_id": "s"}]})
    await any_api.post("/api/ingest/capsule", {"trace_id": "c"})

    kept_ns = 0 if is_over else 10**15
    keep = Retention(signals_ns=kept_ns, spans_ns=kept_ns)
    await KalibrUpkeep(any_api.aggregator.store, keep, SystemClock()).shed()

    wanted = 404 if is_over else 200
    assert (await any_api.ask("GET", "/api/traces/t")).status == wanted
    assert (await any_api.ask("GET", "/api/capsule/c")).status == wanted
    (path,) = (await any_api.get("/api/v1/routing/paths?goal=birds"))["paths"]
    assert path["sample_count"] == 1

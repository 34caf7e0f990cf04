"""Probes and scrapes of a replica, over real HTTP."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from remora.errors import ConfigError
from remora_operator.status_server import serving_status


async def _got(address, path):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}{path}") as answer,
    ):
        return answer.status, await answer.json()


@pytest.mark.parametrize(
    ("path", "name", "broken", "problems", "status"),
    [
        pytest.param("/healthz", "ok", [], ["no certificate"], 200, id="alive, and waits"),
        pytest.param("/healthz", "ok", ["it has ended"], [], 503, id="to be restarted"),
        pytest.param("/readyz", "ready", [], [], 200, id="ready"),
        pytest.param("/readyz", "ready", [], ["no certificate"], 503, id="not ready"),
    ],
)
async def test_a_probe_says_what_is_wrong(path, name, broken, problems, status):
    async with serving_status(
        "127.0.0.1:0", lambda: broken, lambda: problems, CollectorRegistry()
    ) as address:
        found = await _got(address, path)
    said = broken if name == "ok" else problems
    assert found == (status, {name: status == 200, "problems": said})


async def test_metrics_are_those_of_the_registry():
    registry = CollectorRegistry()
    Gauge("remora_operator_leader", "Whether this replica leads", registry=registry).set(1)
    async with (
        serving_status("127.0.0.1:0", list, list, registry) as address,
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}/metrics") as answer,
    ):
        assert "remora_operator_leader 1.0" in await answer.text()


async def test_an_address_that_is_taken_is_named():
    async with serving_status("127.0.0.1:0", list, list, CollectorRegistry()) as address:
        with pytest.raises(ConfigError, match=f"REMORA_OPERATOR_STATUS_LISTEN: {address}"):
            async with serving_status(address, list, list, CollectorRegistry()):
                pass

"""A whole sidecar whose policy the operator sends, or whose files went bad before a restart."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest

from remora.errors import ConfigError
from remora.policy import effective_policy, load_documents
from remora.testing.policy_server import PolicyServer
from remora_sidecar.assembly import running_sidecar
from remora_sidecar.settings import SidecarSettings, format_address, read_settings


def _policy(name, **spec):
    kind = {"apiVersion": "remora.dev/v1alpha1", "kind": "LLMPolicy"}
    return json.dumps({**kind, "metadata": {"name": name}, "spec": spec})


def _document(name, **spec):
    return effective_policy(load_documents({"p.yaml": _policy(name, **spec)}), {}).canonical


@pytest.fixture
async def operator():
    async with PolicyServer().serving() as server:
        yield server


@pytest.fixture
def settings(tmp_path, unused_tcp_port):
    def made(**changed):
        return SidecarSettings(
            listen=(("127.0.0.1", 0),), control_listen=("127.0.0.1", 0),
            status_listen=("127.0.0.1", unused_tcp_port), data_dir=tmp_path / "data",
            aggregator="none", drain_s=1.0, **changed,
        )  # fmt: skip

    return made


async def _readiness(settings):
    url = f"http://{format_address(settings.status_listen)}/readyz"
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        return answer.status, await answer.json()


async def _view(sidecar):
    url = f"http://{format_address(sidecar.control)}/v1/policy"
    headers = {"Authorization": f"Bearer {sidecar.data.admin_token}"}
    async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as answer:
        return await answer.json()


async def _metrics(settings):
    url = f"http://{format_address(settings.status_listen)}/metrics"
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        return await answer.text()


@asynccontextmanager
async def _starting(settings):
    """Begin to start a sidecar; gives what becomes it, once somebody listens for probes."""
    started, stop = asyncio.get_running_loop().create_future(), asyncio.Event()

    async def run():
        async with running_sidecar(settings) as sidecar:
            started.set_result(sidecar)
            await stop.wait()

    task = asyncio.get_running_loop().create_task(run())
    try:
        yield started
        stop.set()
        if started.done():
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_no_agent_is_served_before_the_first_policy_and_the_probe_says_why(
    operator, settings
):
    asked = settings(operator=operator.address)
    async with _starting(asked) as started:
        await operator.until(lambda: operator.hellos)
        status, health = await _readiness(asked)
        assert (status, health["ready"], started.done()) == (503, False, False)
        assert "until the operator has sent it" in health["problems"][0]

        version = operator.push(_document("sent", capture="full"))
        sidecar = await asyncio.wait_for(started, 20)
        await operator.until(lambda: operator.applied == [version])
        status, health = await _readiness(asked)
        assert (status, health["problems"]) == (200, [])
        assert sidecar.parts.policy.captures_bodies


async def test_a_sidecar_that_waits_for_its_first_policy_can_be_stopped(operator, settings):
    async with _starting(settings(operator=operator.address)) as started:
        await operator.until(lambda: operator.connections)
    assert started.cancelled() or not started.done()
    await operator.until(lambda: not operator.connections)


async def test_a_pushed_policy_is_in_force_and_a_bad_one_is_said_everywhere(operator, settings):
    operator.push(_document("first"))
    asked = settings(operator=operator.address)
    async with running_sidecar(asked) as sidecar:
        second = operator.push(_document("second", opaque="block"))
        await operator.until(lambda: operator.applied[-1:] == [second])
        assert not sidecar.parts.policy.opaque_allowed

        bad = operator.push(_document("third").replace(b'"spec":{', b'"spec":{"capture":"all"'))
        await operator.until(lambda: operator.refused)
        assert operator.refused[0].version == bad
        assert operator.refused[0].problems[0].field_path == "policy.spec.capture"
        assert sidecar.parts.policy.version == second

        status, health = await _readiness(asked)
        assert status == 200
        assert "policy.spec.capture" in health["problems"][0]
        view = await _view(sidecar)
        assert (view["name"], view["origin"]) == ("second", "operator")
        assert view["problems"] == health["problems"]
        text = await _metrics(asked)
    labels = f'{{name="second",origin="operator",version="{second}"}}'
    assert f"remora_policy_info{labels} 1.0" in text
    assert "remora_policy_refused_total 1.0" in text
    assert "remora_policy_changes_total 2.0" in text


async def test_while_no_policies_come_a_restart_serves_by_the_last_good_one(operator, settings):
    version = operator.push(_document("sent", opaque="block"))
    asked = settings(operator=operator.address)
    async with running_sidecar(asked):
        await operator.until(lambda: operator.applied)
    operator.aborts = grpc.StatusCode.UNAVAILABLE
    async with running_sidecar(asked) as sidecar:
        assert sidecar.parts.policy.version == version
        view = await _view(sidecar)
        status, health = await _readiness(asked)
    assert (status, view["origin"]) == (200, "last good")
    assert "the operator at" in health["problems"][0]


async def test_a_restart_with_a_bad_file_serves_by_the_last_good_policy(settings, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(_policy("good", opaque="block"))
    asked = settings(policy=file)
    async with running_sidecar(asked):
        pass
    file.write_text(_policy("bad", opaque="perhaps"))
    async with running_sidecar(asked) as sidecar:
        assert sidecar.parts.policy.name == "good"
        view = await _view(sidecar)
        status, health = await _readiness(asked)
    assert (status, view["origin"]) == (200, "last good")
    assert "spec.opaque" in health["problems"][0]


async def test_a_first_start_with_a_bad_file_fails_with_its_problems(settings, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(_policy("bad", opaque="perhaps"))
    with pytest.raises(ConfigError, match=r"spec\.opaque"):
        async with running_sidecar(settings(policy=file)):
            pass


def test_files_and_operator_together_are_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("REMORA_OPERATOR", "operator.remora-system:15443")
    monkeypatch.setenv("REMORA_POLICY", str(tmp_path))
    with pytest.raises(ConfigError, match="REMORA_POLICY: REMORA_OPERATOR is set as well"):
        read_settings(data_dir=tmp_path)

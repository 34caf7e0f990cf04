"""A whole sidecar that serves with what the operator signed."""

import asyncio
import json
import ssl
import time

import aiohttp
import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from remora.policy import effective_policy, load_documents
from remora.testing.certificate_server import CertificateServer
from remora.testing.clock import ManualClock
from remora.testing.double import ProviderDouble
from remora.testing.policy_server import PolicyServer
from remora.testing.raw_agent import RawAgent
from remora_sidecar.assembly import running_sidecar
from remora_sidecar.settings import format_address

HOST = "api.openai.com"
OTHER = "llm.example.com"
CHAT = "/v1/chat/completions"
ASKED = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
).encode()
_DEFINED = {
    "apiVersion": "remora.dev/v1alpha1",
    "kind": "LLMProvider",
    "metadata": {"name": "mine"},
    "spec": {"hosts": [OTHER], "dialects": ["openai-chat"]},
}


def _document(name, *more):
    policy = {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMPolicy",
        "metadata": {"name": name},
        "spec": {},
    }
    files = {f"{n}.yaml": json.dumps(one) for n, one in enumerate((policy, *more))}
    return effective_policy(load_documents(files), {}).canonical


@pytest.fixture
async def operator():
    server = PolicyServer()
    server.push(_document("first"))
    async with server.serving():
        yield server


async def _status(sidecar_status, path):
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{format_address(sidecar_status)}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def _call(carrying, *, ca_pem="", host=HOST):
    ca_pem = ca_pem or carrying.ca_pem
    agent = await RawAgent.through(carrying.sidecar.proxy, host, ca_pem=ca_pem)
    async with agent:
        answer = await agent.ask("POST", CHAT, [("Host", host)], ASKED)
    return answer.status


async def test_an_agent_that_knows_the_root_alone_is_served(carry, operator):
    async with carry(operator=operator.address) as carrying:
        root = operator.certificates.root_pem.decode()
        assert carrying.ca_pem == root
        assert await _call(carrying, ca_pem=root) == 200
        folder = carrying.sidecar.settings.trust_folder
        assert (folder / "ca.pem").read_text() == root
        _, text = await _status(carrying.sidecar.status, "/metrics")
    assert "remora_certificate_renewals_total 1.0" in text
    assert "remora_certificate_not_after_seconds 1." in text


async def test_no_agent_is_served_before_the_first_certificate(
    local_settings_of, operator, unused_tcp_port
):
    operator.certificates.refuses_with = grpc.StatusCode.UNAVAILABLE
    status = ("127.0.0.1", unused_tcp_port)
    async with ProviderDouble() as double:
        asked = local_settings_of(double, "s", operator=operator.address, status_listen=status)
        ready, stop = asyncio.Event(), asyncio.Event()

        async def run():
            async with running_sidecar(asked):
                ready.set()
                await stop.wait()

        task = asyncio.get_running_loop().create_task(run())
        try:
            await operator.until(lambda: operator.applied)
            code, text = await _status(status, "/readyz")
            assert code == 503
            assert "signs no certificate" in text
            assert "agents are not served until it does" in text
            assert not ready.is_set()
            operator.certificates.refuses_with = None
            await asyncio.wait_for(ready.wait(), 30)
            code, text = await _status(status, "/readyz")
            assert (code, json.loads(text)["problems"]) == (200, [])
        finally:
            stop.set()
            await asyncio.gather(task, return_exceptions=True)
    assert task.exception() is None


def _secrets(sidecar):
    """Every key that must be in memory alone, in all forms that it may be written in."""
    keys = [issuer.key for issuer in sidecar.authority.issued.issuers[:1]]
    keys.append(sidecar.authority.leaf(HOST).key)
    for key in keys:
        scalar = key.private_numbers().private_value.to_bytes(32)
        yield from (scalar, scalar.hex().encode(), scalar.hex().upper().encode())
        for encoding in (Encoding.DER, Encoding.PEM):
            for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
                written = key.private_bytes(encoding, form, NoEncryption())
                yield b"".join(written.splitlines()[1:-1]) if encoding is Encoding.PEM else written


async def test_the_key_is_in_no_file(carry, operator, tmp_path):
    trust = tmp_path / "agents-see-this"
    async with carry(operator=operator.address, trust_dir=trust) as carrying:
        assert await _call(carrying) == 200
        secrets = list(_secrets(carrying.sidecar))
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        contents = {path: path.read_bytes().replace(b"\n", b"") for path in files}
    assert trust / "bundle.pem" in contents
    assert tmp_path / "data" / "spool.db" in contents
    leaked = [path for path, held in contents.items() if any(one in held for one in secrets)]
    assert leaked == []
    assert [path for path, held in contents.items() if b"PRIVATE KEY" in held] == []


async def test_a_root_can_be_replaced_under_agents_that_know_the_old_one(carry, operator):
    async with carry(operator=operator.address, double={"names": (HOST, OTHER)}) as carrying:
        old = carrying.ca_pem
        async with await RawAgent.through(carrying.sidecar.proxy, HOST, ca_pem=old) as kept:
            assert (await kept.ask("POST", CHAT, [("Host", HOST)], ASKED)).status == 200
            operator.certificates.rotate()
            operator.certificates.hosts = [*operator.certificates.hosts, OTHER]
            newest = operator.push(_document("second", _DEFINED))
            await operator.until(lambda: operator.applied[-1:] == [newest])
            new = operator.certificates.root_pem.decode()
            assert (await kept.ask("POST", CHAT, [("Host", HOST)], ASKED)).status == 200
        assert [await _call(carrying, ca_pem=pem) for pem in (old, new)] == [200, 200]
        both = carrying.sidecar.settings.trust_folder / "ca.pem"
        await carrying.until(lambda: both.read_text() == new + old)
    assert len(operator.certificates.requests) == 2


async def test_a_host_that_policy_adds_is_served_as_soon_as_the_policy_holds(carry, operator):
    async with carry(operator=operator.address, double={"names": (HOST, OTHER)}) as carrying:
        operator.certificates.hosts = [HOST, OTHER]
        newest = operator.push(_document("second", _DEFINED))
        await operator.until(lambda: operator.applied[-1:] == [newest])
        assert await _call(carrying, host=OTHER) == 200


async def test_a_host_without_a_certificate_is_refused_and_never_relayed(carry, operator, caplog):
    async with carry(operator=operator.address, double={"names": (HOST, OTHER)}) as carrying:
        newest = operator.push(_document("second", _DEFINED))
        await operator.until(lambda: operator.applied[-1:] == [newest])
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await _call(carrying, host=OTHER)
        _, text = await _status(carrying.sidecar.status, "/readyz")
        assert f"not good yet for {OTHER}" in text
        assert await _call(carrying) == 200
    assert f"not good for {OTHER}" in caplog.text


async def test_while_the_operator_is_away_calls_go_on_until_the_certificate_ends(
    local_settings_of, caplog
):
    # Agents have the machine's clock: the certificate is from 23 hours ago.
    clock = ManualClock(time.time_ns() - 23 * 3600 * 10**9)
    operator = PolicyServer()
    operator.certificates = CertificateServer(clock)
    operator.push(_document("first"))
    async with ProviderDouble() as double:
        async with operator.serving() as server:
            asked = local_settings_of(double, "s", operator=server.address)
            running = running_sidecar(asked, clock=clock)
            sidecar = await running.__aenter__()
        try:
            root = sidecar.authority.root_pem.decode()
            clock.advance(23 * 3600)
            async with await RawAgent.through(sidecar.proxy, HOST, ca_pem=root) as agent:
                assert (await agent.ask("POST", CHAT, [("Host", HOST)], ASKED)).status == 200
            clock.advance(2 * 3600)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await RawAgent.through(sidecar.proxy, HOST, ca_pem=root)
            code, _ = await _status(sidecar.status, "/readyz")
            assert code == 200
        finally:
            await running.__aexit__(None, None, None)
    assert "the certificate of this pod expired at" in caplog.text


async def test_a_trust_folder_that_is_not_ours_to_write_holds_nobody_up(carry, operator, tmp_path):
    (tmp_path / "mounted").write_text("by the operator")
    async with carry(operator=operator.address, trust_dir=tmp_path / "mounted") as carrying:
        assert await _call(carrying) == 200
    assert (tmp_path / "mounted").read_text() == "by the operator"


async def test_a_local_sidecar_asks_no_operator_and_keeps_its_own_ca(carrying):
    assert (carrying.sidecar.data.path / "ca-with-key.pem").exists()
    assert carrying.sidecar.certification.client is None
    _, text = await _status(carrying.sidecar.status, "/metrics")
    assert "remora_certificate" not in text


async def test_a_sidecar_with_an_operator_makes_no_ca_of_its_own(carry, operator):
    async with carry(operator=operator.address) as carrying:
        assert not (carrying.sidecar.data.path / "ca-with-key.pem").exists()

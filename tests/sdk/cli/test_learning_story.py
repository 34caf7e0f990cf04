"""Calls of a real sidecar, judged from the command line, as a real aggregator tells of them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.cli.asking import Asking, Ended, asking, record, run

from remora.testing.double import ProviderDouble
from remora.testing.raw_agent import RawAgent
from remora_proto.v1 import records_pb2 as pb
from remora_sidecar.assembly import Sidecar, running_sidecar
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.settings import SidecarSettings, format_address

HOST = "api.openai.com"
FIELDS = [("Host", HOST), ("Content-Type", "application/json")]
BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]}).encode()
LEARNED = {"policy": "learned", "goal": "extract",
           "candidates": [{"model": "gpt-4o"}, {"model": "gpt-4o-mini"}]}  # fmt: skip
ALWAYS = {"policy": "random", "candidates": [{"model": "gpt-4o"}]}
CALLS = 24


def written(folder: Path, router: dict[str, Any]) -> str:
    """Write a policy file of one route."""
    file = folder / f"{router['policy']}.yaml"
    document = {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMPolicy",
        "metadata": {"name": router["policy"]},
        "spec": {"routes": [{"name": "r", "router": router}]},
    }
    file.write_text(json.dumps(document))
    return str(file)


@dataclass
class Story:
    """A sidecar with a learned route, and the aggregator that it reports to."""

    sidecar: Sidecar
    aggregator: Asking

    async def calls(self, count: int) -> list[dict[str, Any]]:
        """Make calls as an agent does; gives their records."""
        ca_pem = self.sidecar.authority.root_pem.decode()
        async with await RawAgent.through(self.sidecar.proxy, HOST, ca_pem=ca_pem) as agent:
            for _ in range(count):
                assert (await agent.ask("POST", "/v1/chat/completions", FIELDS, BODY)).status == 200

        async def recorded() -> list[dict[str, Any]]:
            return lines(await self.aggregator("records", "--json", "--goal", "extract"))

        return await until(recorded, lambda found: len(found) == count)

    async def signals(self) -> list[dict[str, Any]]:
        """List what was said."""
        return lines(await self.aggregator("signal", "list", "--json", "-n", "0"))


def lines(ended: Ended) -> list[dict[str, Any]]:
    """Read what a command told programs."""
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


async def until(ask: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
    """Ask until something is so."""
    async with asyncio.timeout(60):
        while not is_so(found := await ask()):  # noqa: ASYNC110 - it belongs to other processes
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
async def story(tmp_path, monkeypatch) -> AsyncIterator[Story]:
    for name in ("REMORA_AGGREGATOR", "REMORA_GATEWAY_URL"):
        monkeypatch.delenv(name, raising=False)
    async with asking() as aggregator, ProviderDouble() as double:
        (tmp_path / "ca.pem").write_text(double.ca_pem)
        host, port = double.address
        settings = SidecarSettings(
            listen=(("127.0.0.1", 0),), control_listen=("127.0.0.1", 0),
            status_listen=("127.0.0.1", 0), data_dir=tmp_path / "data", drain_s=1.0,
            aggregator=aggregator.address, upstream_ca=tmp_path / "ca.pem",
            connect_to=ConnectTo.parse(f"::{host}:{port}"),
            policy=Path(written(tmp_path, LEARNED)),
        )  # fmt: skip
        async with running_sidecar(settings) as sidecar:
            control = f"http://{format_address(sidecar.control)}"
            monkeypatch.setenv("REMORA_GATEWAY_URL", control)
            yield Story(sidecar, aggregator)


async def test_what_is_said_through_a_sidecar_or_an_aggregator_judges_the_call(story):
    records = await story.calls(2)
    receipt = records[0]["receipt"]["decision"]
    assert (receipt["router"], receipt["propensity"]) == ("learned", pytest.approx(0.5, abs=0.01))
    one, two = (shown["call_id"] for shown in records)
    through = await asyncio.to_thread(run, "signal", one, "rejected", "--user", "ann")
    assert through.code == 0
    assert "the sidecar at" in through.err
    assert (await story.aggregator("signal", two, "accepted", "--json")).code == 0
    found = await until(story.signals, lambda said: len(said) == 2)
    assert {said["call_id"]: (said["kind"], said["state"]) for said in found} == {
        one: ("user_rejected", "counted"),
        two: ("user_accepted", "counted"),
    }
    assert all(said["arm"].startswith("openai/gpt-4o") for said in found)


async def test_a_better_signal_overrules_and_one_without_a_call_waits(story):
    (shown,) = await story.calls(1)
    call = shown["call_id"]
    assert (await story.aggregator("signal", call, "rejected")).code == 0
    assert (await story.aggregator("signal", call, "verbatim")).code == 0
    assert "1 waiting" in (await story.aggregator("signal", f"{7:032x}", "accepted")).err
    found = await story.signals()
    assert {said["kind"]: said["state"] for said in found} == {
        "user_rejected": "overruled",
        "output_used_verbatim": "counted",
        "user_accepted": "waiting",
    }


async def test_scores_and_evaluations_follow_what_was_said(story, tmp_path):
    records = await story.calls(CALLS)
    good = [one["call_id"] for one in records if one["sent_model"] == "gpt-4o"]
    bad = [one["call_id"] for one in records if one["sent_model"] != "gpt-4o"]
    for kind, calls in (("accepted", good), ("rejected", bad)):
        if calls:
            assert (await story.aggregator("signal", *calls, kind)).code == 0
    (goal,) = lines(await story.aggregator("scores", "extract", "--json"))
    rates = {arm["arm"]: arm["rate"] for arm in goal["arms"]}
    assert rates.get("openai/gpt-4o", 0.85) == pytest.approx(0.85)
    assert rates.get("openai/gpt-4o-mini", 0) == 0
    policy = written(tmp_path, ALWAYS)
    (told,) = lines(await story.aggregator("scores", "evaluate", "--policy", policy, "--json"))
    assert told["all"]["calls"] == CALLS
    assert told["left_out"] == told["never_offered"] == []
    if good and bad:
        assert told["all"]["snips"]["mean"] == pytest.approx(0.85)
        assert told["all"]["earned"]["mean"] == pytest.approx(0.85 * len(good) / CALLS)


def _decided(number: int, model: str) -> pb.CallRecord:
    candidates = [
        pb.CandidateReceipt(provider="openai", model=one, propensity=0.5)
        for one in ("large", "small")
    ]
    return record(
        number,
        started_unix_nano=time.time_ns() - (1_000 - number) * 10**9,
        requested_model="auto",
        sent_model=model,
        response_model=model,
        attribution=pb.Attribution(session_id="s", goal="extract"),
        attempts=[pb.Attempt(provider="openai", model=model, status_code=200, duration_s=0.5)],
        receipt=pb.Receipt(rule="r", router="learned", propensity=0.5, candidates=candidates),
    )


async def test_a_version_is_made_put_in_force_and_compared():
    models = ("large", "small")
    async with asking(*(_decided(number, models[number % 2]) for number in range(60))) as ask:
        for at, kind in enumerate(("accepted", "rejected")):
            calls = [f"{number:032x}" for number in range(60) if number % 2 == at]
            assert (await ask("signal", *calls, kind)).code == 0
        (made,) = lines(await ask("scores", "propose", "--note", "first", "--json"))
        assert (made["version"], made["note"]) == (1, "first")
        (now,) = lines(await ask("scores", "activate", "1", "--json"))
        assert now["in_force"]
        (shown,) = lines(await ask("scores", "show", "1", "--json"))
        assert [goal["goal"] for goal in shown["goals"]] == ["extract"]
        assert lines(await ask("scores", "diff", "--json")) == []
        (put,) = lines(await ask("scores", "settings", "extract", "--set", "band=0.2", "--json"))
        assert put["settings"]["band"] == 0.2
        (changed,) = lines(await ask("scores", "diff", "--json"))
        assert (changed["field"], changed["before"], changed["after"]) == ("band", 0.05, 0.2)
        (back,) = lines(await ask("scores", "settings", "extract", "--set", "band=default",
                                  "--json"))  # fmt: skip
        assert back["settings"]["band"] == 0.05
        assert (await ask("scores", "rollback", "--yes")).code in (1, 2)
        assert (await ask("scores", "show", "9")).code == 1
        assert lines(await ask("scores", "timeline", "extract", "--json"))
        models_told = {one["model"] for one in lines(await ask("scores", "benchmarks", "--json"))}
        assert models_told >= {"large", "small"}

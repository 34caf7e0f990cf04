"""Feedback of real clients' answers: through a sidecar, into an aggregator, whoever is killed."""

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import anthropic
import httpx
import httpx2
import openai
import pytest
import requests
from langchain_openai import ChatOpenAI

from remora.client.signal import SignalFilter, StoredSignal
from remora.client.signals import SignalClient
from remora.client.target import AggregatorTarget
from remora.feedback import Feedback, follow_calls
from remora.feedback.doors import AggregatorDoor, SidecarDoor, find_door
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import json_answer
from remora.testing.server_process import ServerProcess, part_command
from remora.tracker.tracker import LLMTracker

OPENAI, ANTHROPIC = "api.openai.com", "api.anthropic.com"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
LIMIT_S = 60
FULL = """\
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {name: all}
spec: {capture: full}
"""

pytestmark = pytest.mark.slow


@dataclass
class Stage:
    """A double in this process; a sidecar and an aggregator that can be killed and restarted."""

    folder: Path
    double: ProviderDouble
    sidecar: ServerProcess | None = None
    aggregator: ServerProcess | None = None
    aggregator_address: str = "127.0.0.1:0"

    async def start_aggregator(self) -> None:
        self.aggregator = await self._start(
            "aggregator",
            REMORA_AGGREGATOR_LISTEN=self.aggregator_address,
            REMORA_AGGREGATOR_DATA_DIR=str(self.folder / "aggregator"),
        )
        self.aggregator_address = self.aggregator.ready["address"]

    async def start_sidecar(self, **settings: str) -> None:
        ca = self.folder / "provider-ca.pem"
        ca.write_text(self.double.ca_pem)
        host, port = self.double.address
        self.sidecar = await self._start(
            "sidecar",
            REMORA_LISTEN="127.0.0.1:0",
            REMORA_CONTROL_LISTEN="127.0.0.1:0",
            REMORA_STATUS_LISTEN="127.0.0.1:0",
            REMORA_DATA_DIR=str(self.folder / "sidecar"),
            REMORA_AGGREGATOR=self.aggregator_address,
            REMORA_UPSTREAM_CA=str(ca),
            REMORA_CONNECT_TO=f"::{host}:{port}",
            **settings,
        )

    async def _start(self, part: str, **settings: str) -> ServerProcess:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **settings}
        command = part_command(part, "--ready-json")
        log = self.folder / f"{part}.log"
        return await asyncio.to_thread(ServerProcess, part, command, environment, log)

    @property
    def control(self) -> str:
        return f"http://{self.sidecar.ready['control']}"

    @property
    def proxy(self) -> str:
        return f"http://{self.sidecar.ready['proxy']}"

    @property
    def ca_file(self) -> str:
        return str(Path(self.sidecar.ready["trust_dir"]) / "ca.pem")

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    async def stored(self, count: int, *, joined: bool = False) -> list[StoredSignal]:
        """Wait until so many signals are stored, and their calls' records if they are to be."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                found = await asyncio.to_thread(self._query)
                if len(found) >= count and not (joined and any(not one.arm for one in found)):
                    return found
                await asyncio.sleep(0.05)

    def _query(self) -> list[StoredSignal]:
        with SignalClient(AggregatorTarget(self.aggregator_address)) as client:
            found = list(client.list(SignalFilter()))
        return [one for one in found if not one.signal.kind.startswith(("check_", "provider_"))]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with ProviderDouble(names=[OPENAI, ANTHROPIC]) as double:
        message = json.dumps(MESSAGE).encode()
        double.route("POST", "/v1/messages", json_answer(message, headers=[("request-id", "r1")]))
        made = Stage(tmp_path, double)
        await made.start_aggregator()
        await made.start_sidecar()
        try:
            yield made
        finally:
            for server in (made.sidecar, made.aggregator):
                with contextlib.suppress(ProcessLookupError):
                    await asyncio.to_thread(server.kill)


@pytest.fixture
def feedback(stage: Stage) -> Iterator[Feedback]:
    """Feedback of this process, whose sidecar is the stage's, wherever that is by now."""
    made = Feedback(find=lambda near: SidecarDoor(stage.control))
    yield made
    made.close()


def openai_client(stage: Stage) -> openai.OpenAI:
    client = httpx2.Client(proxy=stage.proxy, verify=stage.trust)
    return openai.OpenAI(api_key="sk-x", max_retries=0, http_client=client)


def anthropic_client(stage: Stage) -> anthropic.Anthropic:
    client = _library_of(anthropic).Client(proxy=stage.proxy, verify=stage.trust)
    return anthropic.Anthropic(api_key="sk-x", max_retries=0, http_client=client)


def by_openai(stage: Stage) -> object:
    with openai_client(stage) as client:
        return client.chat.completions.create(**CHAT)


def by_raw_openai(stage: Stage) -> object:
    with openai_client(stage) as client:
        return client.chat.completions.with_raw_response.create(**CHAT)


def by_streaming_openai(stage: Stage) -> object:
    with openai_client(stage) as client:
        stream = client.chat.completions.create(**CHAT, stream=True)
        list(stream)
        return stream


def by_anthropic(stage: Stage) -> object:
    with anthropic_client(stage) as client:
        return client.messages.create(
            model="claude-haiku-4-5", max_tokens=9, messages=CHAT["messages"]
        )


def by_langchain(stage: Stage) -> object:
    with httpx2.Client(proxy=stage.proxy, verify=stage.trust) as client:
        model = ChatOpenAI(model="gpt-4o", api_key="sk-x", max_retries=0, http_client=client)
        return model.invoke("hi")


def by_httpx(stage: Stage) -> object:
    with httpx.Client(proxy=stage.proxy, verify=stage.trust) as client:
        return client.post(f"https://{OPENAI}/v1/chat/completions", json=CHAT)


def by_requests(stage: Stage) -> object:
    return requests.post(
        f"https://{OPENAI}/v1/chat/completions",
        json=CHAT,
        proxies={"https": stage.proxy},
        verify=stage.ca_file,
        timeout=LIMIT_S,
    )


def _library_of(sdk: object) -> object:
    """The library that an SDK makes its requests with."""
    base = sdk.DefaultHttpxClient.__mro__
    return httpx2 if any(one is httpx2.Client for one in base) else httpx


@pytest.mark.parametrize(
    "call",
    [
        by_openai,
        by_raw_openai,
        by_streaming_openai,
        by_anthropic,
        by_langchain,
        by_httpx,
        by_requests,
    ],
)
async def test_a_verdict_finds_the_record_of_its_call(stage, feedback, call):
    """One id from the call to what is known of its answer."""
    follow_calls()

    def play() -> str:
        call_id = feedback.track_run(call(stage), user="alice")
        assert feedback.user_accepted(1.0, user="alice")
        assert feedback.flush(LIMIT_S)
        return call_id

    call_id = await asyncio.to_thread(play)
    assert call_id
    (stored,) = await stage.stored(1, joined=True)
    assert (stored.signal.call_id, stored.signal.kind) == (call_id, "user_accepted")
    assert stored.state == "counted"
    assert "alice" not in repr(stored)


async def test_verdicts_of_answers_that_come_at_once_do_not_mix(stage, feedback):
    """An answer made in a task of its own is known by its provider's name of it, not by chance."""
    follow_calls()
    both = 6
    for number in range(both):
        answer = {**json.loads(json.dumps(MESSAGE)), "id": f"msg_{number}"}
        headers = [("request-id", f"req-{number}")]
        stage.double.script(json_answer(json.dumps(answer).encode(), headers=headers))
    library = _library_of(anthropic)
    async with library.AsyncClient(proxy=stage.proxy, verify=stage.trust) as client:
        sdk = anthropic.AsyncAnthropic(api_key="sk-x", max_retries=0, http_client=client)
        asked = [
            sdk.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=[
                {"role": "user", "content": f"question {number}"}
            ])
            for number in range(both)
        ]  # fmt: skip
        answers = await asyncio.gather(*asked)
    ids = {answer._request_id: feedback.track_run(answer) for answer in answers}
    assert len(set(ids.values())) == both
    assert all(ids.values())


async def test_all_three_levels_reach_the_aggregator(stage, feedback):
    def play() -> None:
        answer = by_raw_openai(stage)
        feedback.report_pipeline("chat", "greetings", "hi", answer)
        feedback.report_user_turn("chat", "No, that's wrong. Try again.")
        feedback.report_action("chat", "edited", ("one two three four", "one two three five"))
        feedback.track_run(answer)
        feedback.user_rejected("my secret", dimension="tone")
        assert feedback.flush(LIMIT_S)

    await asyncio.to_thread(play)
    stored = await stage.stored(3)
    kinds = {one.signal.kind: one for one in stored}
    assert set(kinds) == {"turn_rejected", "output_edited", "user_rejected"}
    assert kinds["output_edited"].signal.strength == pytest.approx(0.50625)
    assert kinds["turn_rejected"].signal.goal == "greetings"
    assert kinds["user_rejected"].signal.failure_category == "user_unsatisfied"
    assert len({one.signal.call_id for one in stored}) == 1
    assert "secret" not in repr(stored)


async def test_a_killed_sidecar_loses_no_signal_that_it_took(stage, feedback):
    await asyncio.to_thread(stage.aggregator.kill)

    def report(first: int) -> None:
        for number in range(first, first + 20):
            feedback.track_run(f"{number:032x}")
            feedback.user_accepted()
        assert feedback.flush(LIMIT_S)

    await asyncio.to_thread(report, 0)
    await asyncio.to_thread(stage.sidecar.kill)
    # Reported while there is no sidecar: it waits in the program.
    with pytest.raises(AssertionError):
        await asyncio.to_thread(report, 100)
    await stage.start_sidecar()
    await stage.start_aggregator()
    assert await feedback.flush_async(LIMIT_S)
    stored = await stage.stored(40)
    expected = {f"{number:032x}" for number in (*range(20), *range(100, 120))}
    assert {one.signal.call_id for one in stored} == expected
    assert len(stored) == 40


async def test_a_killed_aggregator_stores_each_signal_once(stage, feedback):
    for first in range(3):
        for number in range(20):
            feedback.track_run(f"{first * 20 + number:032x}")
            feedback.user_accepted()
        assert await feedback.flush_async(LIMIT_S)
        await asyncio.to_thread(stage.aggregator.kill)
        await stage.start_aggregator()
    stored = await stage.stored(60)
    assert len(stored) == len({one.signal.call_id for one in stored}) == 60


@pytest.mark.parametrize("captures", [False, True], ids=["metadata", "full"])
async def test_what_users_write_is_on_disk_only_where_policy_captures_in_full(
    stage, feedback, captures
):
    secret = "the-launch-code-is-7734"
    if captures:
        (stage.folder / "policy.yaml").write_text(FULL)
        await asyncio.to_thread(stage.sidecar.kill)
        await stage.start_sidecar(REMORA_POLICY=str(stage.folder / "policy.yaml"))

    def play() -> None:
        answer = by_raw_openai(stage)
        feedback.report_pipeline("chat", "", f"{secret} asked", answer)
        feedback.report_user_turn("chat", f"No, that's wrong, {secret} it is. Try again.")
        feedback.report_action("chat", "edited", ("one two three", f"one {secret} three"))
        feedback.track_run(answer)
        feedback.user_rejected(f"because {secret}")
        assert feedback.flush(LIMIT_S)

    await asyncio.to_thread(play)
    stored = await stage.stored(3, joined=True)
    texts = [one.signal.text for one in stored]
    assert any(secret in text for text in texts) is captures
    if not captures:
        files = [path for path in stage.folder.rglob("*") if path.is_file()]
        assert [path for path in files if secret.encode() in path.read_bytes()] == []


async def test_a_program_outside_of_pods_sends_to_the_aggregator_itself(stage):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(stage.folder),
        "REMORA_AGGREGATOR": stage.aggregator_address,
    }
    program = f"""
from remora.feedback import counts, flush, track_run, user_accepted
import remora.feedback.doors as doors
doors.USUAL_CONTROL = "127.0.0.1:1"  # what else runs on this machine is not meant
track_run("{7:032x}")
user_accepted()
assert flush(60)
print(counts().sent)
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-P", "-c", program],
        env=environment,
        cwd=stage.folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    (stored,) = await stage.stored(1)
    assert stored.signal.call_id == f"{7:032x}"


@pytest.mark.parametrize("variable", ["REMORA_GATEWAY_URL", "AGENTOPT_GATEWAY_URL"])
async def test_a_program_beside_a_gateway_sends_to_it(stage, variable):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(stage.folder),
        variable: stage.control,
        "REMORA_AGGREGATOR": "127.0.0.1:1",
    }
    program = f"""
from remora.feedback import track_run, user_accepted
track_run("{7:032x}")
user_accepted()
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-P", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (stored,) = await stage.stored(1)
    assert stored.signal.call_id == f"{7:032x}"


async def test_in_a_trackers_session_plain_objects_are_known_and_signals_go_to_its_sidecar(
    stage, monkeypatch
):
    """Nothing but the tracker says that there is a sidecar, and it notes whose answers they are."""
    host, port = stage.double.address
    for name, value in {
        "REMORA_AGGREGATOR": stage.aggregator_address,
        "REMORA_UPSTREAM_CA": str(stage.folder / "provider-ca.pem"),
        "REMORA_CONNECT_TO": f"::{host}:{port}",
        "REMORA_LISTEN": "127.0.0.1:0",
        "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
        "REMORA_STATUS_LISTEN": "127.0.0.1:0",
        "REMORA_LINGER_S": "0.2",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("REMORA_GATEWAY_URL", "AGENTOPT_GATEWAY_URL"):
        monkeypatch.delenv(name, raising=False)

    def play() -> str:
        found = []
        feedback = Feedback(find=lambda near: found.append(near) or SidecarDoor(near))
        with LLMTracker(cache_dir=stage.folder / "tracked") as tracker, tracker.track("q1"):
            with openai.OpenAI(api_key="sk-x", max_retries=0) as client:
                call_id = feedback.track_run(client.chat.completions.create(**CHAT))
            feedback.user_accepted()
            assert feedback.flush(LIMIT_S)
            assert [record.call_id for record in tracker.records] == [call_id]
        assert all(found)
        feedback.close()
        tracker.close()
        return call_id

    call_id = await asyncio.to_thread(play)
    (stored,) = await stage.stored(1, joined=True)
    assert stored.signal.call_id == call_id


async def test_a_local_sidecar_that_runs_is_found(stage, monkeypatch):
    from remora.feedback import doors

    monkeypatch.setattr(doors, "USUAL_CONTROL", "127.0.0.1:1")
    monkeypatch.chdir(stage.folder)
    (stage.folder / ".remora_cache").symlink_to(stage.folder / "sidecar")
    door = await asyncio.to_thread(find_door, {"REMORA_AGGREGATOR": "127.0.0.1:1"})
    assert isinstance(door, SidecarDoor)
    assert (await asyncio.to_thread(door.wanted))[:2] == (False, False)
    door.close()
    await asyncio.to_thread(stage.sidecar.kill)
    monkeypatch.setenv("REMORA_AGGREGATOR", stage.aggregator_address)
    door = await asyncio.to_thread(find_door, {"REMORA_AGGREGATOR": stage.aggregator_address})
    assert isinstance(door, AggregatorDoor)
    door.close()
    assert await asyncio.to_thread(find_door, {}) is None

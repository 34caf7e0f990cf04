"""Calls of threads, programs and processes arrive at a real sidecar under their session."""

import asyncio
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest

from remora.tracker.active import within

URL = "https://api.openai.com/v1/chat/completions"
BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]})
HEAD = {"Content-Type": "application/json", "Authorization": "Bearer sk-test"}
ASK = f"""
import json, urllib.request
request = urllib.request.Request({URL!r}, {BODY!r}.encode(), {HEAD!r})
assert urllib.request.urlopen(request, timeout=60).status == 200
"""
HTTPX = f"""
import httpx
assert httpx.post({URL!r}, content={BODY!r}, headers={HEAD!r}, timeout=60).status_code == 200
"""
CURL = ["curl", "-sSf", "-o", "/dev/null", "-d", BODY, URL]
for _name, _value in HEAD.items():
    CURL += ["-H", f"{_name}: {_value}"]

PROGRAMS = {
    "urllib": [sys.executable, "-c", ASK],
    "httpx": [sys.executable, "-c", HTTPX],
    "curl": CURL,
    "node": ["node", "-e", f"""
        const [major, minor] = process.versions.node.split(".").map(Number);
        if (major < 24 && !(major == 22 && minor >= 21)) process.exit(77);
        fetch({URL!r}, {{method: "POST", body: {BODY!r}, headers: {json.dumps(HEAD)}}})
          .then(answer => process.exit(answer.status == 200 ? 0 : 1));"""],
}  # fmt: skip


def _ask(_: object = None) -> int:
    request = urllib.request.Request(URL, BODY.encode(), HEAD)
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - a fixed URL
        return int(answer.status)


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_programs_calls_are_its_sessions(stage, program) -> None:
    argv = PROGRAMS[program]
    if shutil.which(argv[0]) is None:
        pytest.skip(f"there is no {argv[0]} here")
    processes = []
    for data_id in ("one", "two"):
        with within(await stage.open(data_id)):
            processes.append(await asyncio.create_subprocess_exec(*argv))
    codes = [await process.wait() for process in processes]
    if 77 in codes:
        pytest.skip("this Node heeds no proxy variables")

    assert codes == [0, 0]
    assert await stage.data_ids(2) == ["one", "two"]


async def test_a_bypass_of_every_host_in_the_shell_does_not_lose_calls(stage, monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    with within(await stage.open("one")):
        ran = await asyncio.to_thread(subprocess.run, PROGRAMS["urllib"], timeout=100)

    assert ran.returncode == 0
    assert await stage.data_ids(1) == ["one"]


def _in_spawned(session: object) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_ask)
    process.start()
    process.join(100)
    assert process.exitcode == 0


def _in_forkserver(session: object) -> None:
    process = multiprocessing.get_context("forkserver").Process(target=_ask)
    process.start()
    process.join(100)
    assert process.exitcode == 0


def _in_pool(session: object) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(_ask, [1]) == [200]
        pool.close()
        pool.join()


def _in_executor(session: object) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        assert executor.submit(_ask).result() == 200


def _in_grandchild(session: object) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        assert executor.submit(subprocess.call, PROGRAMS["urllib"]).result() == 0


WAYS: dict[str, Callable[[object], None]] = {
    "spawned process": _in_spawned,
    "forkserver process": _in_forkserver,
    "pool": _in_pool,
    "executor": _in_executor,
    "program of a spawned process": _in_grandchild,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_calls_of_other_processes_are_their_sessions(stage, way) -> None:
    sessions = [await stage.open(data_id) for data_id in ("one", "two")]

    def work() -> None:
        for session in sessions:
            with within(session):
                way(session)

    await asyncio.to_thread(work)

    assert await stage.data_ids(2) == ["one", "two"]


async def test_a_program_started_in_a_thread_is_its_sessions(stage) -> None:
    session = await stage.open("one")
    codes: list[int] = []

    def work() -> None:
        codes.append(subprocess.call(PROGRAMS["urllib"], env={"PATH": os.environ["PATH"]}))

    with within(session):
        thread = threading.Thread(target=work)
        thread.start()
    await asyncio.to_thread(thread.join)

    assert codes == [0]
    assert await stage.data_ids(1) == ["one"]

"""Two hundred sessions at once, on clients that all of them share."""

import asyncio
import contextvars
import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import httpx
import httpx2
import openai
import requests

from remora.tracker.active import ActiveSession, within

URL = "https://api.openai.com/v1/chat/completions"
SESSIONS = 200


def asked(number: int) -> dict[str, Any]:
    return {"model": f"gpt-{number}", "messages": [{"role": "user", "content": "hi"}]}


def each_has_its_own(stage: Any, sessions: list[ActiveSession], calls: int) -> None:
    """Every call names the number of its session as its model."""
    stage.until(lambda: sum(map(stage.totals, sessions)) >= calls * len(sessions))
    models: dict[str, list[str]] = defaultdict(list)
    for record in stage.every_record():
        models[record.attribution.session_id].append(record.requested_model)
    for number, session in enumerate(sessions):
        assert models[session.session_id] == [f"gpt-{number}"] * calls


def test_threads_on_shared_clients(stage: Any) -> None:
    sessions = [stage.open() for _ in range(SESSIONS)]
    with (
        httpx.Client(timeout=60) as first,
        httpx2.Client(timeout=60) as second,
        requests.Session() as third,
        openai.OpenAI(api_key="sk-test", timeout=60) as fourth,
    ):

        def work(number: int) -> None:
            with within(sessions[number]):
                body = json.dumps(asked(number)).encode()
                assert first.post(URL, content=body).status_code == 200
                assert second.post(URL, content=body).status_code == 200
                assert third.post(URL, data=body, timeout=60).status_code == 200
                fourth.chat.completions.create(**asked(number))

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(work, range(SESSIONS)))
    each_has_its_own(stage, sessions, 4)


def test_tasks_on_shared_clients(stage: Any) -> None:
    sessions = [stage.open() for _ in range(SESSIONS)]

    async def work(number: int, first: Any, second: Any, third: Any) -> None:
        with within(sessions[number]):
            body = json.dumps(asked(number)).encode()
            assert (await first.post(URL, content=body)).status_code == 200
            async with second.post(URL, data=body) as response:
                assert response.status == 200
            await third.chat.completions.create(**asked(number))

    async def every() -> None:
        async with (
            httpx.AsyncClient(timeout=60) as first,
            aiohttp.ClientSession() as second,
            openai.AsyncOpenAI(api_key="sk-test", timeout=60) as third,
            asyncio.TaskGroup() as tasks,
        ):
            for number in range(SESSIONS):
                tasks.create_task(
                    work(number, first, second, third), context=contextvars.copy_context()
                )

    asyncio.run(every())
    each_has_its_own(stage, sessions, 3)


def test_a_loop_in_each_thread(stage: Any) -> None:
    sessions = [stage.open() for _ in range(20)]

    async def call(number: int) -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            await asyncio.gather(*(client.post(URL, json=asked(number)) for _ in range(3)))

    def work(number: int) -> None:
        with within(sessions[number]):
            asyncio.run(call(number))

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(work, range(len(sessions))))
    each_has_its_own(stage, sessions, 3)

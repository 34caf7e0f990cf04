"""Selectors with the tracker itself: a real local sidecar, real clients, a provider double."""

import asyncio
import threading
from decimal import Decimal

import httpx
import openai
import pytest

from remora.selectors import ModelSelector
from remora.testing.double import ProviderDouble
from remora.tracker.tracker import LLMTracker

CHAT_URL = "https://api.openai.com/v1/chat/completions"
LIMIT_S = 60.0
MODELS = {"node": ["gpt-4o", "gpt-4o-mini"]}
QUESTIONS = [(f"question {number}", None) for number in range(6)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Lead sidecars that are started from here on to a provider double on a thread of its own."""
    folder = tmp_path_factory.mktemp("selectors")
    loop, started, made = asyncio.new_event_loop(), threading.Event(), []

    async def serve():
        async with ProviderDouble(names=("api.openai.com",)) as double:
            made.extend([double, asyncio.Event()])
            started.set()
            await made[1].wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        assert started.wait(LIMIT_S)
        (folder / "ca.pem").write_text(made[0].ca_pem)
        host, port = made[0].address
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {
                "REMORA_AGGREGATOR": "none",
                "REMORA_UPSTREAM_CA": str(folder / "ca.pem"),
                "REMORA_CONNECT_TO": f"::{host}:{port}",
                "REMORA_LISTEN": "127.0.0.1:0",
                "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
                "REMORA_STATUS_LISTEN": "127.0.0.1:0",
                "REMORA_LINGER_S": "0.2",
            }.items():
                patch.setenv(name, value)
            for name in ("REMORA_GATEWAY_URL", "AGENTOPT_GATEWAY_URL", "REMORA_POLICY"):
                patch.delenv(name, raising=False)
            patch.setenv("OPENAI_API_KEY", "sk-test")
            patch.chdir(folder)
            yield folder
    finally:
        loop.call_soon_threadsafe(made[1].set)
        thread.join(LIMIT_S)
        loop.close()


class SyncAgent:
    """Asks with an HTTP client; two calls for each question."""

    def __init__(self, models):  # noqa: D107
        self.model = models["node"]

    def run(self, question):
        for part in ("first", "second"):
            body = {
                "model": self.model,
                "messages": [{"role": "user", "content": f"{part} {question}"}],
            }
            httpx.post(
                CHAT_URL, json=body, headers={"authorization": "Bearer sk-1"}, timeout=LIMIT_S
            ).raise_for_status()
        return self.model


class AsyncAgent:
    """Asks with OpenAI's SDK, in two tasks at once."""

    def __init__(self, models):  # noqa: D107
        self.model = models["node"]

    async def run(self, question):
        async with openai.AsyncOpenAI() as client:
            await asyncio.gather(*(self._ask(client, f"{n} {question}") for n in range(2)))
        return self.model

    async def _ask(self, client, text):
        await client.chat.completions.create(
            model=self.model, messages=[{"role": "user", "content": text}]
        )


def is_large(expected, actual):
    return actual == "gpt-4o"


@pytest.mark.parametrize("agent", [SyncAgent, AsyncAgent], ids=lambda one: one.__name__)
def test_every_evaluation_has_its_own_calls_and_no_others(data_dir, agent):
    tracker = LLMTracker(cache=False, cache_dir=data_dir / "data")
    selector = ModelSelector(
        agent, MODELS, is_large, QUESTIONS, "brute_force", tracker=tracker, progress=False
    )

    results = selector.select_best(parallel=True, max_concurrent=4)
    records = tracker.records
    tracker.close()

    assert results.get_best_combo() == {"node": "gpt-4o"}
    assert len(records) == 24
    by_data_id = {record.data_id: record for record in records}
    assert len(by_data_id) == 12
    for result in results:
        assert [result.failures, result.unknown] == [0, ()]
        assert result.price > 0
        for one in result.datapoint_results:
            own = [
                record
                for record in records
                if record.data_id == f"{result.model_name}::dp_{one.datapoint_index + 1}"
            ]
            [model] = result.models.values()
            assert one.input_tokens == {model: sum(record.prompt_tokens for record in own)}
            assert len(own) == 2
    assert results.selection_cost == sum(record.cost_usd for record in records)


def test_a_selector_makes_a_tracker_of_its_own_and_a_second_run_costs_nothing(data_dir):
    def run():
        prices = {"gpt-4o": {"input_price": 2, "output_price": 8}}
        return ModelSelector(
            SyncAgent,
            {"node": ["gpt-4o"]},
            is_large,
            QUESTIONS,
            "brute_force",
            model_prices=prices,
            progress=False,
        ).select_best(parallel=True, max_concurrent=3)

    first, again = run(), run()

    assert first.selection_cost > Decimal(0)
    assert again.selection_cost == 0
    assert again.get_best().price == first.get_best().price

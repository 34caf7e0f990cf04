"""The tracker as a researcher uses it: real clients, a real local sidecar, a provider double."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

import remora
from remora import UNROUTED, RandomRouter, get_current_session_proxy
from remora.errors import Unavailable
from remora.local_sidecar.addresses import read_addresses
from remora.local_sidecar.control import ControlClient

CHAT_URL = "https://api.openai.com/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


def ask(text="hi", model="gpt-4o-mini", **more):
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    return httpx.post(CHAT_URL, json=body, headers={"authorization": "Bearer sk-1"}, timeout=30)


def test_the_calls_of_a_block_are_recorded_under_its_ids(tracker):
    with tracker.track(data_id="q1", combo_id="c", agent_id="planner") as session:
        assert ask().status_code == 200
    (record,) = tracker.records
    assert (record.data_id, record.combo_id, record.agent_id) == ("q1", "c", "planner")
    assert record.session_id == session.session_id
    assert (record.model, record.status_code, record.error) == ("gpt-4o-mini", 200, None)
    assert (record.prompt_tokens > 0, record.completion_tokens > 0) == (True, True)
    assert record.request_body["messages"] == ASKED["messages"]
    assert record.response_body["choices"]
    assert record.request_url == CHAT_URL
    assert record.cost_usd > Decimal(0)
    assert session.records == [record]


def test_sessions_say_what_their_calls_are_for(make_tracker):
    with make_tracker(goal="support") as tracker:
        with tracker.track("a") as session:
            ask()
        with tracker.track("b", goal="search"):
            ask()
    assert session.goal == "support"
    assert [(r.data_id, r.goal) for r in tracker.records] == [("a", "support"), ("b", "search")]


def test_sessions_say_which_task_their_calls_belong_to(make_tracker):
    with make_tracker(task_id="run-1") as tracker:
        with tracker.track("a") as session:
            ask()
        with tracker.track("b", task_id="run-2"):
            ask()
    assert session.task_id == "run-1"
    assert [(r.data_id, r.task_id) for r in tracker.records] == [("a", "run-1"), ("b", "run-2")]


def test_records_can_be_asked_for_after_the_block_after_stop_and_after_close(make_tracker):
    tracker = make_tracker()
    with tracker, tracker.track(data_id="q"):
        ask()
    first = tracker.records
    assert len(first) == 1
    tracker.stop()
    tracker.stop()
    assert tracker.records == first
    tracker.close()
    tracker.close()
    assert tracker.records == first
    assert tracker.get_usage(data_id="q") == {
        "gpt-4o-mini": (first[0].prompt_tokens, first[0].completion_tokens)
    }


def test_no_call_is_counted_twice_however_often_it_is_asked_for(tracker):
    with tracker.track(data_id="q"):
        ask()
    tracker.stop()
    assert [len(tracker.records) for _ in range(3)] == [1, 1, 1]
    assert [len(tracker.get_records("q")) for _ in range(3)] == [1, 1, 1]


def test_a_tracker_with_an_id_is_one_session_itself(make_tracker):
    with make_tracker(combo_id="c") as tracker:
        assert get_current_session_proxy() is not None
        ask()
    assert get_current_session_proxy() is None
    (record,) = tracker.records
    assert (record.data_id, record.combo_id) == ("default", "c")


def test_a_router_alone_opens_no_session(make_tracker):
    with make_tracker(router=RandomRouter(["gpt-4.1-nano"])) as tracker:
        assert get_current_session_proxy() is None
    assert tracker.records == []


def test_a_tracker_that_is_not_started_says_so(make_tracker):
    tracker = make_tracker()
    with pytest.raises(RuntimeError, match="not started"), tracker.track():
        pass
    assert tracker.records == []


def test_starting_again_after_stop_goes_on(tracker):
    with tracker.track("one"):
        ask("one")
    tracker.stop()
    tracker.start()
    tracker.start()
    with tracker.track("two"):
        ask("two")
    assert [record.data_id for record in tracker.records] == ["one", "two"]


def test_filters_hold_together(tracker):
    for data_id, combo_id in (("a", "x"), ("a", "y"), ("b", "x")):
        with tracker.track(data_id, combo_id):
            ask(data_id + combo_id)
    assert len(tracker.get_records()) == 3
    assert len(tracker.get_records(data_id="a")) == 2
    assert len(tracker.get_records(data_id="a", combo_id="x")) == 1
    assert tracker.get_records(data_id="a", combo_id="z") == []
    assert tracker.get_usage(combo_id="none") == {}
    assert tracker.get_cached_latency(combo_id="none") == 0.0


def test_two_trackers_of_one_directory_share_a_sidecar_and_no_records(make_tracker, own_dir):
    with make_tracker(cache_dir=own_dir) as one, make_tracker(cache_dir=own_dir) as two:
        with one.track("one"):
            ask("1")
        with two.track("two"):
            ask("2")
        assert [record.data_id for record in one.records] == ["one"]
        assert [record.data_id for record in two.records] == ["two"]
        holder = (own_dir / "lock").read_text()
        assert read_addresses(own_dir) is not None
    assert holder.strip().isdigit()
    assert (own_dir / ".gitignore").read_text() == "*\n"


def test_an_answer_is_cached_once_for_all_sessions_and_keeps_its_latency(tracker, provider):
    for data_id in ("first", "again"):
        with tracker.track(data_id):
            ask("the same")
    first, again = tracker.records
    assert (first.cached, again.cached) == (False, True)
    assert provider.requests == 1
    assert again.latency_seconds == first.latency_seconds
    assert again.cost_usd == 0
    assert tracker.get_cached_latency() == again.latency_seconds
    assert tracker.get_usage()["gpt-4o-mini"][0] == 2 * first.prompt_tokens


def test_a_tracker_without_a_cache_asks_again(make_tracker, provider):
    with make_tracker(cache=False) as plain, make_tracker() as cached:
        for tracker in (cached, plain, plain):
            with tracker.track():
                ask("the same")
    assert provider.requests == 3
    assert not any(record.cached for record in plain.records)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"headers": {"authorization": "Bearer sk-2"}}, id="another key"),
        pytest.param({"url": "https://models.example.com/v1/chat/completions"}, id="another host"),
        pytest.param({"json": {**ASKED, "stream": True}}, id="a stream"),
    ],
)
def test_the_cache_never_answers_for(tracker, provider, change):
    tracker.register_provider("mine", "https://models.example.com/v1", ())
    asked = {"url": CHAT_URL, "json": ASKED, "headers": {"authorization": "Bearer sk-1"}}
    with tracker.track():
        httpx.post(**asked, timeout=30)
        httpx.post(**{**asked, **change}, timeout=30)
    assert provider.requests == 2
    assert [record.cached for record in tracker.records] == [False, False]


def test_a_cleared_cache_answers_nothing(tracker, provider):
    for _ in range(2):
        with tracker.track():
            ask("the same")
        tracker.flush_cache()
        tracker.clear_cache()
    assert provider.requests == 2


def test_a_router_decides_for_each_call_in_this_process(make_tracker, provider):
    class ByLength(remora.Router):
        def __init__(self):
            self.seen = []

        def route(self, ctx):
            self.seen.append((ctx.session.data_id, [r.model for r in ctx.history], os.getpid()))
            return "gpt-4.1-nano" if len(str(ctx.request_body["messages"])) < 100 else None

    router = ByLength()
    with make_tracker(router=router) as tracker:
        with tracker.track("q1") as session:
            ask("short", "gpt-4o")
            ask("long" * 100, "gpt-4o")
        with tracker.track("q2", router=UNROUTED):
            ask("short", "gpt-4o")
        with tracker.track("q3", router=RandomRouter(["gpt-4.1-mini"], seed=1)):
            ask("short", "gpt-4o")
    assert provider.models == ["gpt-4.1-nano", "gpt-4o", "gpt-4o", "gpt-4.1-mini"]
    assert [record.model for record in tracker.records] == provider.models
    assert router.seen == [("q1", [], os.getpid()), ("q1", ["gpt-4.1-nano"], os.getpid())]
    assert session.records[0].requested_model == "gpt-4o"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("answer", [ValueError("no"), 7, ""], ids=["raises", "number", "empty"])
def test_a_router_that_fails_breaks_nobodys_agent(make_tracker, provider, answer):
    class Failing:
        def route(self, ctx):
            if isinstance(answer, Exception):
                raise answer
            return answer

    with make_tracker(router=Failing()) as tracker, tracker.track():
        assert ask(model="gpt-4o").status_code == 200
    assert provider.models == ["gpt-4o"]
    assert any("router" in note for note in tracker.records[0].notes)


def test_the_cache_is_looked_up_after_routing(make_tracker, provider):
    with make_tracker() as tracker:
        for model in ("gpt-4.1-nano", "gpt-4.1-mini", "gpt-4.1-nano"):
            with tracker.track(router=RandomRouter([model])):
                ask("the same", "gpt-4o")
    assert provider.models == ["gpt-4.1-nano", "gpt-4.1-mini"]
    assert [record.cached for record in tracker.records] == [False, False, True]


def test_streams_of_the_current_sdks_are_recorded_with_their_usage(tracker):
    client = openai.OpenAI(api_key="sk-1", max_retries=0)
    with tracker.track("stream"):
        chunks = list(
            client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}], stream=True
            )
        )
    client.close()
    assert chunks
    (record,) = tracker.records
    assert (record.stream, record.response_body) == (True, {})
    assert record.completion_tokens > 0
    assert not record.estimated


async def test_async_sdks_keep_their_session_in_tasks(tracker):
    async with openai.AsyncOpenAI(api_key="sk-1", max_retries=0) as client:

        async def one(number):
            async with tracker.track(data_id=f"q{number}"):
                await client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=[{"role": "user", "content": f"question {number}"}],
                )

        await asyncio.gather(*(one(number) for number in range(20)))
    records = tracker.records
    assert sorted(record.data_id for record in records) == sorted(f"q{n}" for n in range(20))
    for record in records:
        asked = record.request_body["messages"][0]["content"]
        assert record.data_id == "q" + asked.split()[1]


def test_a_failed_call_is_a_record_with_its_reason(tracker, provider):
    client = anthropic.Anthropic(api_key="sk", max_retries=0)
    with tracker.track(), pytest.raises(anthropic.APIStatusError):
        client.messages.create(
            model="claude-none", max_tokens=5, messages=[{"role": "user", "content": "hi"}]
        )
    client.close()
    (record,) = tracker.records
    assert record.error == f"HTTP {record.status_code}"
    assert (record.prompt_tokens, record.cost_usd) == (0, None)


@pytest.mark.parametrize("workers", [1, 4, 8, 20])
def test_a_hundred_scopes_over_some_workers_all_work(tracker, workers):
    def one(number):
        with tracker.track(data_id=f"q{number}") as session:
            ask(f"question {number} of {workers}")
            return session.session_id

    with ThreadPoolExecutor(workers) as pool:
        sessions = list(pool.map(one, range(100)))
    assert len(set(sessions)) == 100
    by_session = {record.session_id: record for record in tracker.records}
    assert set(by_session) == set(sessions)
    for number, session_id in enumerate(sessions):
        asked = by_session[session_id].request_body["messages"][0]["content"]
        assert asked == f"question {number} of {workers}"


def test_two_hundred_sessions_at_once_each_have_their_own_calls(tracker):
    count, ready = 200, threading.Barrier(200)
    failures = []

    def one(number):
        try:
            with tracker.track(data_id=f"q{number}"):
                ready.wait(60)
                ask(f"question {number}")
        except Exception as error:  # noqa: BLE001 - what a thread raises is nobody's else
            failures.append(error)

    threads = [threading.Thread(target=one, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert failures == []
    told = {
        record.data_id: record.request_body["messages"][0]["content"] for record in tracker.records
    }
    assert told == {f"q{number}": f"question {number}" for number in range(count)}


def test_a_child_lands_in_the_session_of_its_block(tracker):
    program = (
        "import json, urllib.request as r\n"
        f"q = r.Request({CHAT_URL!r}, json.dumps({ASKED!r}).encode(), "
        "{'content-type': 'application/json', 'authorization': 'Bearer sk-1'})\n"
        "print(r.urlopen(q).status)"
    )
    with tracker.track("child") as session:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert tracker.get_session_env(session)["HTTPS_PROXY"] == get_current_session_proxy().url
    assert done.stdout.strip() == "200"
    assert [record.data_id for record in tracker.records] == ["child"]


def test_the_proxy_of_a_session_is_all_that_a_program_needs(tracker):
    with tracker.track("told"):
        proxy = get_current_session_proxy()
    context = ssl.create_default_context(cafile=proxy.ca_bundle_path)
    with httpx.Client(proxy=proxy.url, verify=context) as client:
        assert client.post(CHAT_URL, json=ASKED).status_code == 200
    assert proxy.ca_pem in Path(proxy.ca_bundle_path).read_text()
    assert proxy.env_dict()["HTTPS_PROXY"] == proxy.url
    assert str(proxy.port) in proxy.url
    assert [record.data_id for record in tracker.records] == ["told"]


def test_a_call_that_ends_after_its_block_is_still_its_own(tracker):
    with tracker.track("late"):
        proxy = get_current_session_proxy()
    tracker.stop()
    context = ssl.create_default_context(cafile=proxy.ca_bundle_path)
    with httpx.Client(proxy=proxy.url, verify=context) as client:
        client.post(CHAT_URL, json=ASKED)
    assert [record.data_id for record in tracker.records] == ["late"]


def test_calls_outside_of_every_block_go_their_own_way(tracker):
    with tracker.track():
        pass
    assert get_current_session_proxy() is None
    assert tracker.records == []


def test_records_that_are_cleared_are_gone_here_and_at_the_sidecar(tracker):
    with tracker.track("one"):
        ask("one")
    tracker.clear()
    assert tracker.records == []
    with tracker.track("two"):
        ask("two")
    assert [record.data_id for record in tracker.records] == ["two"]


def test_a_provider_of_ones_own_is_tracked_once_it_is_named(tracker):
    with (
        pytest.warns(remora.UntrackedCallWarning, match="register_provider"),
        tracker.track(),
        pytest.raises(httpx.ConnectError),
    ):
        httpx.post("http://plain.example.com:1/v1/chat/completions", json=ASKED)
    tracker.register_provider("plain", "http://plain.example.com:8000/v1", ["/chat/completions"])
    with tracker.track("mine"):
        httpx.post("http://plain.example.com:8000/v1/chat/completions", json=ASKED)
    assert [(record.data_id, record.provider) for record in tracker.records] == [("mine", "plain")]


def test_a_sidecar_that_was_killed_is_started_anew_and_knows_the_records(make_tracker, own_dir):
    with make_tracker(cache_dir=own_dir) as tracker:
        with tracker.track("before"):
            ask("before")
        assert len(tracker.records) == 1
        os.kill(int((own_dir / "lock").read_text()), signal.SIGKILL)
        with tracker.track("after"):
            ask("after")
    assert [record.data_id for record in tracker.records] == ["before", "after"]


def test_a_gateway_that_is_not_there_is_told_at_once(make_tracker, monkeypatch):
    monkeypatch.setenv("REMORA_GATEWAY_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="not reachable"):
        make_tracker().start()


@pytest.mark.parametrize("name", ["REMORA_GATEWAY_URL", "AGENTOPT_GATEWAY_URL"])
def test_one_variable_leads_to_a_gateway(make_tracker, monkeypatch, stage, tmp_path, name):
    with make_tracker() as local:
        addresses = read_addresses(stage.data_dir)
        monkeypatch.setenv(name, f"http://{addresses.control}")
        elsewhere = tmp_path / "unused"
        with make_tracker(cache_dir=elsewhere) as remote, remote.track("remote"):
            ask()
        assert not elsewhere.exists()
        assert [record.data_id for record in remote.records] == ["remote"]
        assert local.records == []


def test_without_a_directory_data_end_with_the_process(provider, tmp_path):
    program = (
        "from remora import LLMTracker\n"
        "from remora.tracker.trust_files import own_directory\n"
        "tracker = LLMTracker(cache_dir=None)\n"
        "tracker.start()\n"
        "print(own_directory())\n"
        "tracker.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stderr == ""
    assert not Path(done.stdout.strip()).exists()
    assert list(tmp_path.glob(".remora*")) == []


def test_sessions_that_a_program_leaves_open_end_with_it(provider, stage, until):
    program = (
        "import sys\nfrom remora import LLMTracker\n"
        f"tracker = LLMTracker(cache_dir={str(stage.data_dir)!r})\ntracker.start()\n"
        "with tracker.track('left') as session:\n"
        "    print(session.session_id, flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:  # fmt: skip
        session_id = child.stdout.readline().strip()
        control = ControlClient(read_addresses(stage.data_dir).control)
        assert not control.read_session(session_id)["ended"]
        child.kill()
        child.wait()
        until(lambda: control.read_session(session_id)["ended"])
        control.close()


def test_a_tracker_in_a_child_uses_the_same_sidecar_for_sessions_of_its_own(tracker, tmp_path):
    program = (
        "import httpx\nfrom remora import LLMTracker\n"
        f"ask = lambda: httpx.post({CHAT_URL!r}, json={ASKED!r}).raise_for_status()\n"
        "with LLMTracker() as inner:\n"
        "    with inner.track('inner'):\n"
        "        ask()\n"
        "    ask()\n"
        "print([r.data_id for r in inner.records])\n"
        "inner.close()\n"
    )
    with tracker.track("outer"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
    assert done.stdout.strip() == "['inner']"
    assert [record.data_id for record in tracker.records] == ["outer"]
    assert list(tmp_path.glob(".remora*")) == []


def test_a_fork_that_ends_leaves_the_tracker_of_its_maker_alone(provider, stage):
    program = (
        "import os, sys\nimport httpx\nfrom remora import LLMTracker, RandomRouter\n"
        "router = RandomRouter(['gpt-4.1-nano'])\n"
        f"tracker = LLMTracker(cache_dir={str(stage.data_dir)!r}, router=router)\n"
        "def ask(text):\n"
        f"    body = dict({ASKED!r}, messages=[dict(role='user', content=text)])\n"
        f"    assert httpx.post({CHAT_URL!r}, json=body).status_code == 200\n"
        "with tracker, tracker.track('forked'):\n"
        "    ask('one')\n"
        "    if not (pid := os.fork()):\n"
        "        ask('of the child')\n"
        "        sys.exit(0)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "    ask('two')\n"
        "print([(r.data_id, r.model) for r in tracker.records])\n"
        "tracker.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str([("forked", "gpt-4.1-nano")] * 3)


def test_the_summary_names_models_tokens_and_what_went_past(tracker, capsys):
    with tracker.track("q1"):
        ask()
    tracker.print_summary()
    printed = capsys.readouterr().out
    assert "gpt-4o-mini" in printed
    assert "past the tracker" not in printed


def test_the_light_library_imports_nothing_heavy():
    program = (
        "import sys, remora, remora.tracker.tracker\n"
        "heavy = {'mitmproxy', 'aiohttp', 'kubernetes', 'psycopg', 'httpx', 'requests', 'openai',"
        " 'numpy', 'remora_sidecar', 'remora_aggregator'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.replace("'", '"')) == []

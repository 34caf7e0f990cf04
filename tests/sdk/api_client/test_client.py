"""`Client`: calls to models, refusals, tries, and where it looks for its sidecar."""

import json
import threading

import pytest
from tests.sdk.api_client.scripted_sidecar import Events, Reply, refusal

import remora
from remora import (
    ApiError,
    AuthenticationError,
    BudgetExceededError,
    Client,
    ProviderError,
    RateLimitError,
)
from remora.errors import BadRequest, ConfigError, RemoraError, Unavailable
from remora.local_sidecar.nearest import nearest_sidecar
from remora.tracker.active import ActiveSession, SidecarAccess, within

MESSAGES = [{"role": "user", "content": "Say hello."}]
ANSWER = {"choices": [{"message": {"content": "hello"}}], "x_kairosroute": {"cost_usd": 0.5}}
CHUNKS = [{"choices": [{"delta": {"content": word}}]} for word in ("hel", "lo")]
SESSION = "sess_" + "0" * 32
LAST = "data: [DONE]\n\n"


@pytest.fixture
def client(scripted):
    with Client(api_key="kr-x", base_url=scripted.url) as client:
        yield client


def test_a_chat_is_a_dict_as_the_sidecar_gave_it(scripted, client):
    scripted.answer("POST /chat/completions", Reply(ANSWER))
    answer = client.chat.completions.create(
        messages=MESSAGES, task_id="t-1", temperature=None, plugins=["x"]
    )
    assert answer == ANSWER
    sent = scripted.last()
    assert sent.body == {
        "model": "auto", "messages": MESSAGES, "task_id": "t-1", "plugins": ["x"],
    }  # fmt: skip
    assert sent.headers["Authorization"] == "Bearer kr-x"


def test_a_stream_gives_chunks_until_its_last_word(scripted, client):
    scripted.answer("POST /chat/completions", Events([*CHUNKS, "data: no json\n\n", LAST, *CHUNKS]))
    chunks = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
    assert list(chunks) == CHUNKS
    assert scripted.last().body["stream"] is True


@pytest.mark.parametrize("then", ["end", "break"])
def test_a_stream_without_its_last_word_is_an_error_after_what_came(scripted, client, then):
    scripted.answer("POST /chat/completions", Events(CHUNKS, then=then))
    chunks = client.chat.completions.create(messages=MESSAGES, stream=True)
    assert [next(chunks), next(chunks)] == CHUNKS
    with pytest.raises(ProviderError, match="broke off"):
        next(chunks)


def test_a_stream_that_is_refused_says_why(scripted, client):
    scripted.answer("POST /chat/completions", refusal(429, "BUDGET_EXCEEDED", "it is spent"))
    with pytest.raises(BudgetExceededError, match="it is spent"):
        client.chat.completions.create(messages=MESSAGES, stream=True)


def test_the_other_calls_go_where_openai_has_them(scripted, client):
    for call in ("POST /completions", "POST /embeddings", "GET /models", "GET /models/groq/a"):
        scripted.answer(call, Reply({"at": call}))
    assert client.completions.create(prompt="x")["at"] == "POST /completions"
    assert client.embeddings.create(input=["a"])["at"] == "POST /embeddings"
    assert scripted.last().body == {"model": "auto", "input": ["a"]}
    assert client.models.list()["at"] == "GET /models"
    assert client.models.retrieve("groq/a")["at"] == "GET /models/groq/a"


def test_capabilities_are_set_with_the_admin_token(scripted, client):
    scripted.answer("GET /capabilities", Reply({"capabilities": {}}))
    scripted.answer("POST /capabilities", Reply({"capabilities": {"vision": {}}}))
    assert client.capabilities.get() == {"capabilities": {}}
    client.capabilities.set({"vision": {"models": ["x"]}}, admin_token="secret")
    assert scripted.last().headers["Authorization"] == "Bearer secret"
    assert scripted.last().body == {"capabilities": {"vision": {"models": ["x"]}}}


REFUSALS = [
    (refusal(400, "no_models_available"), ApiError, 400),
    (refusal(401, "UNKNOWN_SESSION"), AuthenticationError, 401),
    (refusal(402, "BUDGET_EXCEEDED"), BudgetExceededError, 402),
    (refusal(403, "model_denied"), AuthenticationError, 403),
    (refusal(403, "TASK_CANCELLED"), ApiError, 403),
    (refusal(404, "UNKNOWN_TASK"), ApiError, 404),
    (refusal(429, "BUDGET_EXCEEDED"), BudgetExceededError, 429),
    (refusal(429, "RATE_LIMITED", headers={"x-should-retry": "false"}), RateLimitError, 429),
    (refusal(502, "x"), ProviderError, 502),
    (Reply("gone wrong", 500), ProviderError, 500),
    (Reply(["a list"], 418), ApiError, 418),
]


@pytest.mark.parametrize(
    ("answer", "kind", "status"), REFUSALS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_refusal_is_the_error_of_its_kind_at_once(scripted, client, answer, kind, status):
    scripted.answer("GET /models", answer)
    with pytest.raises(RemoraError) as caught:
        client.models.list()
    assert type(caught.value) is kind
    assert isinstance(caught.value, ApiError)
    assert caught.value.status_code == status
    assert scripted.calls() == ["GET /models"]


def test_too_many_calls_are_tried_again_as_soon_as_they_may(scripted, client):
    wait = refusal(429, "TOO_MANY", headers={"Retry-After": "0.01"})
    scripted.answer("GET /models", wait, wait, Reply({"data": []}))
    assert client.models.list() == {"data": []}


def test_after_its_last_try_a_call_says_when_to_come_again(scripted, client):
    scripted.answer("GET /models", refusal(429, "TOO_MANY", headers={"Retry-After": "0.01"}))
    with pytest.raises(RateLimitError) as caught:
        client.models.list()
    assert caught.value.retry_after == 0.01
    assert len(scripted.calls()) == 3


def test_a_wait_that_is_too_long_is_the_callers(scripted, client):
    scripted.answer("GET /models", refusal(429, "TOO_MANY", headers={"Retry-After": "3600"}))
    with pytest.raises(RateLimitError):
        client.models.list()
    assert len(scripted.calls()) == 1


def test_a_call_that_nobody_took_is_tried_again(scripted):
    scripted.answer("POST /chat/completions", Reply(ANSWER))
    scripted.stop()
    starting = threading.Timer(0.1, scripted.start)
    starting.start()
    client = Client(base_url=scripted.url, max_retries=8)
    assert client.chat.completions.create(messages=MESSAGES) == ANSWER
    starting.join()


def test_a_call_that_was_sent_is_not_sent_again(scripted, client):
    scripted.answer("POST /chat/completions", Events([], then="break"))
    with pytest.raises(Unavailable):
        client.chat.completions.create(messages=MESSAGES)
    assert len(scripted.calls()) == 1


def test_what_is_no_json_is_no_sidecar(scripted, client):
    scripted.answer("GET /models", Reply("<html>"))
    with pytest.raises(Unavailable, match="is no sidecar"):
        client.models.list()


def test_what_json_cannot_hold_is_said_and_not_sent(scripted, client):
    with pytest.raises(BadRequest, match="can't be written as JSON"):
        client.chat.completions.create(messages=[object()])
    assert scripted.calls() == []


def test_a_closed_client_ends_what_goes_on_and_makes_no_calls(scripted):
    client = Client(base_url=scripted.url)
    scripted.answer("POST /chat/completions", Events(CHUNKS[:1], then="hang"))
    chunks = client.chat.completions.create(messages=MESSAGES, stream=True)
    assert next(chunks) == CHUNKS[0]
    closing = threading.Timer(0, client.close)
    closing.start()
    with pytest.raises(RemoraError):
        next(chunks)
    closing.join()
    with pytest.raises(RemoraError):
        client.models.list()


# where it is


@pytest.mark.parametrize("base", ["", "/v1", "/api/v1/"], ids=["root", "v1", "api"])
def test_a_base_url_may_have_a_path(scripted, base):
    scripted._answers["GET /api/v1/models"] = [Reply({"data": []})]
    scripted.answer("GET /models", Reply({"data": []}))
    Client(base_url=scripted.root + base).models.list()
    assert scripted.last().path == f"{base.rstrip('/') or '/v1'}/models"


@pytest.mark.parametrize("url", ["127.0.0.1:15080", "ftp://x", "http://", "http://x:port"])
def test_a_base_url_that_is_none_is_said_at_once(url):
    with pytest.raises(ConfigError, match="base_url"):
        Client(base_url=url)


def test_without_any_sidecar_it_says_how_to_start_one():
    with pytest.raises(Unavailable, match="remora run -- "):
        Client().models.list()


def test_the_gateway_of_the_environment_is_used(scripted, monkeypatch):
    monkeypatch.setenv("REMORA_GATEWAY_URL", scripted.root)
    scripted.answer("GET /models", Reply({"data": []}))
    assert Client().models.list() == {"data": []}
    assert "Authorization" not in scripted.last().headers


def test_a_gateway_that_is_no_url_is_said(monkeypatch):
    monkeypatch.setenv("REMORA_GATEWAY_URL", "ftp://nowhere")
    with pytest.raises(ConfigError, match="REMORA_GATEWAY_URL"):
        Client().models.list()


def test_a_sidecar_that_told_its_address_is_found(scripted, tmp_path, monkeypatch):
    scripted.answer("GET /status", Reply({"ready": True}))
    scripted.answer("GET /models", Reply({"data": []}))
    folder = tmp_path / "data"
    folder.mkdir()
    told = dict.fromkeys(("proxy", "status", "trust_dir", "data_dir"), "x")
    (folder / "addresses.json").write_text(
        json.dumps({**told, "control": scripted.root.removeprefix("http://")})
    )
    monkeypatch.setenv("REMORA_DATA_DIR", str(folder))
    assert Client().models.list() == {"data": []}


def test_a_sidecar_that_went_away_is_looked_for_anew(scripted, monkeypatch):
    monkeypatch.setenv("REMORA_GATEWAY_URL", "http://127.0.0.1:9")
    client = Client(max_retries=1)
    with pytest.raises(Unavailable):
        client.models.list()
    monkeypatch.setenv("REMORA_GATEWAY_URL", scripted.root)
    scripted.answer("GET /models", Reply({"data": []}))
    assert client.models.list() == {"data": []}


# whose calls they are


@pytest.mark.parametrize(
    ("key", "bearer", "field"),
    [
        (None, SESSION, None),
        ("kr-nobodys", SESSION, None),
        ("sk-proj-own", "sk-proj-own", SESSION),
        ("sess_" + "1" * 32, "sess_" + "1" * 32, None),
    ],
    ids=["none", "nobodys", "a-providers", "another-sessions"],
)
def test_the_session_that_the_program_was_started_in_is_its_calls(
    scripted, monkeypatch, key, bearer, field
):
    monkeypatch.setenv("REMORA_GATEWAY_URL", scripted.root)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{SESSION}:x@127.0.0.1:1")
    scripted.answer(f"GET /sessions/{SESSION}", Reply({"session_id": SESSION}))
    scripted.answer("GET /models", Reply({"data": []}))
    Client(api_key=key).models.list()
    sent = scripted.last().headers
    assert sent["Authorization"] == f"Bearer {bearer}"
    assert sent.get("remora-session") == field


def test_a_session_of_another_sidecar_is_not_named(scripted, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://{SESSION}:x@127.0.0.1:1")
    scripted.answer(f"GET /sessions/{SESSION}", refusal(404, "UNKNOWN_SESSION"))
    assert nearest_sidecar({"REMORA_GATEWAY_URL": scripted.root}).session_id == ""


def _session(url: str) -> ActiveSession:
    access = SidecarAccess("127.0.0.1", 1, "", "", "", "", (), control_url=url)
    return ActiveSession(SESSION, access)


def test_the_trackers_session_goes_before_what_was_found(scripted):
    scripted.answer("GET /models", Reply({"data": []}))
    with within(_session(scripted.root)):
        Client().models.list()
    assert scripted.last().headers["Authorization"] == f"Bearer {SESSION}"


def test_a_session_is_told_to_no_other_server(scripted):
    scripted.answer("GET /models", Reply({"data": []}))
    with within(_session("http://127.0.0.1:9")):
        Client(base_url=scripted.url).models.list()
    assert "Authorization" not in scripted.last().headers


def test_nothing_heavy_is_imported_with_the_library():
    import subprocess
    import sys

    program = "import remora, sys; print([m for m in sys.modules if 'api_client' in m])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
    assert remora.tasks.get is not None
    assert remora.workflows.execute is not None

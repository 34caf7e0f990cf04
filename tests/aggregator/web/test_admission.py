"""Which requests are let in, by name and by origin: as a table, and over real sockets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_aggregator.web.admission import Admission
from remora_aggregator.web.host_names import host_of
from remora_aggregator.web.problems import ApiProblem

ADMISSION = Admission(["aggregator.example", "10.0.0.5", "[2001:db8::1]"])


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:15091", "127.0.0.1", "127.1.2.3:80", "[::1]:15091",
        "aggregator.example", "Aggregator.Example:443", "aggregator.example.", "10.0.0.5:1",
        "[2001:db8::1]:15091",
    ],
)  # fmt: skip
def test_loopback_and_configured_names_are_let_in(host):
    ADMISSION.check_host({"Host": host})


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "aggregator.example.evil.example", "localhost.evil.example",
        "127.0.0.1.evil.example", "10.0.0.6", "[::2]", "aggregator.example:x", "a b", "localhost:",
        "user@localhost", "localhost/", "[::1", "0.0.0.1",
    ],
)  # fmt: skip
def test_other_names_are_not(host):
    with pytest.raises(ApiProblem) as problem:
        ADMISSION.check_host({"Host": host})
    assert (problem.value.status, problem.value.where) == (421, "Host")


def test_a_request_without_a_name_is_not_let_in():
    with pytest.raises(ApiProblem):
        ADMISSION.check_host({})


@given(st.text(max_size=60))
def test_any_text_is_a_host_or_none(text):
    host = host_of(text)
    assert host == host.lower()
    assert not set(host) & set(" /@#?")


OURS = {"Host": "localhost:1", "Sec-Fetch-Site": "same-origin"}
TYPED = {"Host": "localhost:1", "Sec-Fetch-Site": "none"}
FOREIGN = {"Host": "localhost:1", "Sec-Fetch-Site": "cross-site"}
SAME_SITE = {"Host": "localhost:1", "Sec-Fetch-Site": "same-site"}
VISIT = {**FOREIGN, "Sec-Fetch-Mode": "navigate"}
OLD_OURS = {"Host": "localhost:1", "Origin": "http://localhost:1"}
OLD_FOREIGN = {"Host": "localhost:1", "Origin": "http://localhost:2"}
OPAQUE = {"Host": "localhost:1", "Origin": "null"}
PROGRAM = {"Host": "localhost:1"}
BEARER = {"Authorization": "Bearer x"}


@pytest.mark.parametrize(
    ("method", "headers", "with_cookie", "is_let_in"),
    [
        ("GET", OURS, True, True),
        ("POST", OURS, True, True),
        ("GET", TYPED, True, True),
        ("GET", VISIT, True, True),
        ("POST", VISIT, True, False),
        ("GET", FOREIGN, False, False),
        ("GET", SAME_SITE, True, False),
        ("POST", FOREIGN, False, False),
        ("POST", OLD_OURS, True, True),
        ("POST", OLD_FOREIGN, False, False),
        ("GET", OLD_FOREIGN, True, False),
        ("POST", OPAQUE, False, False),
        ("GET", PROGRAM, True, True),
        ("POST", PROGRAM, False, True),
        ("POST", PROGRAM, True, False),
        ("DELETE", PROGRAM, True, False),
        ("POST", {**FOREIGN, **BEARER}, True, True),
        ("POST", {**OURS, "Origin": "http://evil.example"}, True, True),
    ],
)
def test_pages_of_other_origins_ask_nothing(method, headers, with_cookie, is_let_in):
    def check():
        ADMISSION.check_origin(method, headers, "http", with_cookie=with_cookie)

    if is_let_in:
        check()
        return
    with pytest.raises(ApiProblem) as problem:
        check()
    assert (problem.value.status, problem.value.code) == (403, "other-origin")


async def test_a_page_that_rebinds_a_name_gets_nothing(api):
    answer = await api.get("/v1/records", headers={"Host": "evil.example"})
    assert (answer.status, answer.json["code"]) == (421, "other-host")
    assert (await api.get("/nowhere", headers={"Host": "evil.example"})).status == 421


async def test_a_configured_name_is_asked_by(open_api):
    async with open_api(http_hosts="records.example, 10.1.2.3") as api:
        for host in ("records.example:15091", "10.1.2.3"):
            assert (await api.get("/v1/records", headers={"Host": host})).status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_probes_and_scrapes_are_anybodys_by_any_name(open_api, token_file, path):
    async with open_api(token_file=token_file) as api:
        answer = await api.get(path, headers={"Host": "10.2.3.4", "Sec-Fetch-Site": "cross-site"})
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/healthz", "/v1/records", "/nowhere", "/v1/records?limit=x"])
async def test_every_answer_has_the_usual_headers(api, path):
    headers = (await api.get(path)).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Server"] == "remora"
    assert "Access-Control-Allow-Origin" not in headers


async def test_what_is_not_known_is_a_problem_too(api):
    answer = await api.get("/v1")
    assert (answer.status, answer.json["code"]) == (404, "not-found")
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_bug_of_ours_is_a_problem_that_tells_nothing(api, monkeypatch, caplog):
    async def broken(**_):
        raise RuntimeError("secret words")

    monkeypatch.setattr(api.store, "page", lambda *_, **__: broken())
    answer = await api.get("/v1/records")
    assert (answer.status, answer.json["code"]) == (500, "bug")
    assert b"secret" not in answer.body
    assert "secret words" in caplog.text

"""Whose token it is, asked of an API server over real HTTP."""

import asyncio
import base64
import json
import logging
import ssl

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import BadRequest, ConfigError, Unavailable
from remora.testing.clock import ManualClock
from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.kubernetes_tokens import KnownToken
from remora_aggregator.service import pod_tokens
from remora_aggregator.service.api_server import connected
from remora_aggregator.service.pod_tokens import AUDIENCE, Account, PodTokens
from remora_aggregator.service.shown import Shown

PEER = "ipv4:10.0.0.1:5"
POD = Account("team-a", "default", "agent-1", "u-1")


def _jwt(end_unix_s):
    payload = base64.urlsafe_b64encode(json.dumps({"exp": end_unix_s}).encode()).decode()
    return f"head.{payload.rstrip('=')}.signature"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def cluster():
    async with KubernetesApi().serving() as running:
        running.tokens["pod"] = KnownToken("team-a", "default", (AUDIENCE,), "agent-1", "u-1")
        yield running


@pytest.fixture
async def pods(cluster, clock):
    async with connected(cluster.url, token_file=None, ca_file=None, timeout_s=2.0) as api:
        tokens = PodTokens(api, clock)
        yield tokens
        await tokens.aclose()


async def _ask(pods, token="pod", peer=PEER):  # noqa: S107 - no password
    return await pods.account(Shown(token, peer=peer))


async def test_a_pods_token_names_the_pod(pods):
    assert await _ask(pods) == POD


async def test_a_token_of_no_pod_names_its_account(pods, cluster):
    cluster.tokens["person"] = KnownToken("monitoring", "grafana", (AUDIENCE,))
    found = await _ask(pods, "person")
    assert (found, found.username) == (
        Account("monitoring", "grafana"),
        "system:serviceaccount:monitoring:grafana",
    )


@pytest.mark.parametrize(
    ("known", "why"),
    [
        pytest.param(None, "does not accept", id="unknown"),
        pytest.param(
            KnownToken("team-a", "default", ("remora-operator",), "p", "u"),
            "for the audience 'remora-operator'",
            id="for the operator",
        ),
        pytest.param(
            KnownToken("team-a", "default", ("remora-operator", AUDIENCE), "p", "u"),
            "for the audience 'remora-operator'",
            id="for both",
        ),
        pytest.param(KnownToken("team-a"), "does not accept", id="for the API server"),
    ],
)
async def test_other_tokens_do_not_count_and_it_is_said_why(pods, cluster, known, why):
    if known is not None:
        cluster.tokens["other"] = known
    with pytest.raises(BadRequest, match=why) as refused:
        await _ask(pods, "other")
    assert refused.value.status == 401


async def test_an_answer_holds_for_a_while_and_is_asked_for_again(pods, cluster, clock):
    for _ in range(3):
        await _ask(pods)
    assert cluster.reviews == 1
    del cluster.tokens["pod"]
    clock.advance(pod_tokens.KNOWN_S)
    with pytest.raises(BadRequest):
        await _ask(pods)


async def test_a_refusal_holds_for_a_short_while(pods, cluster, clock):
    for _ in range(3):
        with pytest.raises(BadRequest):
            await _ask(pods, "late")
    assert cluster.reviews == 1
    cluster.tokens["late"] = cluster.tokens["pod"]
    clock.advance(pod_tokens.REFUSED_S)
    assert await _ask(pods, "late") == POD


async def test_an_answer_holds_no_longer_than_the_token(pods, cluster, clock):
    token = _jwt(clock.now_unix_ns() / 1e9 + 30)
    cluster.tokens[token] = cluster.tokens["pod"]
    await _ask(pods, token)
    del cluster.tokens[token]
    clock.advance(29)
    assert await _ask(pods, token) == POD
    clock.advance(1)
    with pytest.raises(BadRequest):
        await _ask(pods, token)


async def test_many_at_once_ask_once(pods, cluster):
    cluster.delay_s = 0.02
    found = await asyncio.gather(*(_ask(pods) for _ in range(20)))
    assert (set(found), cluster.reviews) == ({POD}, 1)


async def test_who_gives_up_does_not_take_the_answer_from_others(pods, cluster):
    cluster.delay_s = 0.05
    first = asyncio.ensure_future(_ask(pods))
    second = asyncio.ensure_future(_ask(pods))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == POD


class TestAnApiServerThatIsAway:
    async def test_who_is_known_goes_on_until_the_token_ends(self, pods, cluster, clock):
        token = _jwt(clock.now_unix_ns() / 1e9 + 600)
        cluster.tokens[token] = cluster.tokens["pod"]
        await _ask(pods, token)
        cluster.fails_with = 500
        clock.advance(pod_tokens.KNOWN_S)
        assert await _ask(pods, token) == POD
        clock.advance(300)
        with pytest.raises(Unavailable, match="with 500"):
            await _ask(pods, token)

    async def test_who_is_not_known_is_told_to_come_again(self, pods, cluster, clock):
        cluster.fails_with = 500
        with pytest.raises(Unavailable, match="with 500"):
            await _ask(pods)
        cluster.fails_with = None
        clock.advance(5)
        assert await _ask(pods) == POD

    async def test_who_was_refused_is_not_let_in_by_it(self, pods, cluster, clock):
        with pytest.raises(BadRequest):
            await _ask(pods, "other")
        cluster.fails_with = 500
        clock.advance(pod_tokens.REFUSED_S)
        with pytest.raises(Unavailable):
            await _ask(pods, "other")

    async def test_it_is_not_asked_by_everybody(self, pods, cluster, clock):
        cluster.fails_with = 500
        for number in range(10):
            with pytest.raises(Unavailable):
                await _ask(pods, f"token-{number}")
        assert cluster.reviews == 1

    @pytest.mark.parametrize("status", [401, 403])
    async def test_what_the_aggregator_lacks_is_said(self, pods, cluster, status):
        cluster.fails_with = status
        with pytest.raises(Unavailable, match="system:auth-delegator"):
            await _ask(pods)

    async def test_nobody_there_is_said(self, clock, unused_tcp_port):
        url = f"http://127.0.0.1:{unused_tcp_port}"
        async with connected(url, token_file=None, ca_file=None) as api:
            tokens = PodTokens(api, clock)
            with pytest.raises(Unavailable, match="can't be asked"):
                await _ask(tokens)
            await tokens.aclose()

    async def test_a_slow_one_is_given_up(self, cluster, clock):
        cluster.delay_s = 5.0
        async with connected(cluster.url, token_file=None, ca_file=None, timeout_s=0.05) as api:
            tokens = PodTokens(api, clock)
            with pytest.raises(Unavailable, match="can't be asked"):
                await _ask(tokens)
            await tokens.aclose()


async def test_who_guesses_tokens_does_not_keep_the_api_server_busy(pods, cluster, clock):
    statuses = []
    for number in range(60):
        with pytest.raises(BadRequest) as refused:
            await _ask(pods, f"guess-{number}", f"ipv4:10.0.0.66:{number}")
        statuses.append(refused.value.status)
    assert (statuses.count(401), statuses.count(429), cluster.reviews) == (30, 30, 30)
    assert await _ask(pods) == POD  # from elsewhere
    clock.advance(5)
    assert await _ask(pods, "pod", "ipv4:10.0.0.66:1") == POD


async def test_more_than_can_be_asked_at_once_are_told_to_come_again(pods, cluster):
    cluster.delay_s = 0.05
    asked = await asyncio.gather(
        *(_ask(pods, f"t{number}", f"ipv4:10.0.{number}.1:5") for number in range(300)),
        return_exceptions=True,
    )
    assert {type(error) for error in asked} == {BadRequest, Unavailable}


async def test_no_token_is_ever_logged_or_said(pods, cluster, clock, caplog):
    said = []
    with caplog.at_level(logging.DEBUG):
        for status in (500, None):
            cluster.fails_with = status
            clock.advance(5)
            with pytest.raises((BadRequest, Unavailable)) as error:
                await _ask(pods, "secret-token")
            said.append(str(error.value))
    ours = [record.getMessage() for record in caplog.records if "remora" in record.name]
    assert ours
    assert "secret-token" not in "".join([*ours, *said])


async def test_the_aggregator_shows_its_own_token_and_checks_the_servers_name(tmp_path, clock):
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    root, own = tmp_path / "ca.crt", tmp_path / "token"
    root.write_bytes(ca.cert_pem.bytes())
    own.write_text("aggregators-own\n")
    async with KubernetesApi().serving(context) as cluster:
        cluster.callers = {"aggregators-own"}
        cluster.tokens["pod"] = KnownToken("team-a", "default", (AUDIENCE,), "agent-1", "u-1")
        async with connected(cluster.url, token_file=own, ca_file=root) as api:
            tokens = PodTokens(api, clock)
            assert await _ask(tokens) == POD
            own.write_text("renewed")
            cluster.callers = {"renewed"}
            clock.advance(pod_tokens.KNOWN_S)
            assert await _ask(tokens) == POD
            own.unlink()
            with pytest.raises(Unavailable, match="token can't be read"):
                await _ask(tokens, "another")
            await tokens.aclose()
        async with connected(cluster.url, token_file=None, ca_file=None) as stranger:
            with pytest.raises(Unavailable, match="can't be asked"):
                await stranger.review("pod", (AUDIENCE,))


async def test_a_file_of_roots_that_can_not_be_used_is_named(tmp_path):
    for content in (None, b"nonsense"):
        file = tmp_path / "ca.crt"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigError, match="REMORA_AGGREGATOR_KUBERNETES_CA"):
            async with connected("https://x", token_file=None, ca_file=file):
                pass


class Answers:
    """Reviews every token with one answer."""

    def __init__(self, answer):  # noqa: D107
        self._answer = answer

    async def review(self, token, audiences):
        return self._answer


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
STATUS = st.fixed_dictionaries(
    {},
    optional={
        "authenticated": st.booleans() | JSON,
        "audiences": st.just([AUDIENCE]) | JSON,
        "user": st.fixed_dictionaries(
            {},
            optional={
                "username": st.sampled_from(["system:serviceaccount:a:b", "ann", "system:node:x"])
                | JSON,
                "extra": JSON,
            },
        )
        | JSON,
    },
)


@given(STATUS)
async def test_only_a_sound_review_names_an_account(status):
    tokens = PodTokens(Answers({"status": status}), ManualClock())
    try:
        account = await _ask(tokens)
    except (BadRequest, Unavailable):
        pass
    else:
        assert status["user"]["username"] == account.username
        assert AUDIENCE in status["audiences"]
    await tokens.aclose()


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{", b'{"status": 7}', b'{"status": {"user": []}}']
)
async def test_an_answer_that_is_none_is_said(answer, clock, unused_tcp_port):
    async def serve(reader, writer):
        await reader.readuntil(b"}}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", unused_tcp_port)
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with listener, connected(url, token_file=None, ca_file=None) as api:
        tokens = PodTokens(api, clock)
        with pytest.raises(Unavailable, match="API server's answer"):
            await _ask(tokens)
        await tokens.aclose()

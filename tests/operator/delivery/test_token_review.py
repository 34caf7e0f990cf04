"""Whose token it is, asked of an API server over real HTTP."""

import asyncio
import logging
import ssl

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import BadRequest, Unavailable
from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.kubernetes_tokens import KnownToken
from remora_operator.cluster.api_server import ApiServer
from remora_operator.delivery.pod_identity import PodIdentity
from remora_operator.delivery.token_review import AUDIENCE, KNOWN_S, TokenReviews, bearer_token

TOKEN = "token-of-the-agent"
POD = "/api/v1/namespaces/team-a/pods/agent-1"


def _with(token=TOKEN):
    return (("user-agent", "grpc"), ("authorization", f"Bearer {token}"))


async def test_a_running_pods_token_names_the_pod(reviews, cluster):
    uid = cluster.objects.list(_pods())[0]["metadata"]["uid"]
    assert await reviews.identify(_with()) == PodIdentity("team-a", "agent-1", uid, "default")


def _pods():
    from remora.testing.kubernetes_objects import ResourcePath

    return ResourcePath("v1/pods")


@pytest.mark.parametrize(
    ("known", "status", "why"),
    [
        pytest.param(None, 401, "does not accept", id="unknown"),
        pytest.param(
            KnownToken("team-a", audiences=("remora-aggregator",), pod_name="agent-1", pod_uid="u"),
            401,
            "for the audience 'remora-operator'",
            id="for the aggregator",
        ),
        pytest.param(
            KnownToken("team-a", pod_name="agent-1", pod_uid="u"), 401, "audience", id="the API's"
        ),
        pytest.param(
            KnownToken("team-a", audiences=(AUDIENCE,)), 403, "not bound to a pod", id="no pod's"
        ),
        pytest.param(
            KnownToken("team-a", audiences=(AUDIENCE,), pod_name="agent-1", pod_uid="other"),
            403,
            "does not exist any more",
            id="an earlier pod of the name",
        ),
        pytest.param(
            KnownToken("team-a", audiences=(AUDIENCE,), pod_name="gone", pod_uid="other"),
            403,
            "does not exist any more",
            id="a pod that is gone",
        ),
        pytest.param(
            KnownToken("team-a", audiences=(AUDIENCE,), pod_name="../../secrets/x", pod_uid="u"),
            403,
            "does not exist any more",
            id="a name that is a path",
        ),
    ],
)
async def test_other_tokens_do_not_count_and_it_is_said_why(reviews, cluster, known, status, why):
    if known is not None:
        cluster.tokens["other"] = known
    with pytest.raises(BadRequest, match=why) as refused:
        await reviews.identify(_with("other"))
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"status": {"phase": "Succeeded"}}, "is over"),
        ({"status": {"phase": "Failed"}}, "is over"),
        ({"metadata": {"deletionTimestamp": "2025-12-31T23:59:59Z"}}, "was deleted"),
    ],
    ids=["finished", "failed", "deleted"],
)
async def test_a_pod_that_is_over_gets_nothing(reviews, cluster, fields, why):
    pod = cluster.objects.list(_pods())[0]
    cluster.put(POD, {**pod, **fields, "metadata": pod["metadata"] | fields.get("metadata", {})})
    with pytest.raises(BadRequest, match=why):
        await reviews.identify(_with())


async def test_a_pod_in_its_grace_period_is_still_served(reviews, cluster):
    pod = cluster.objects.list(_pods())[0]
    deletion = {"deletionTimestamp": "2026-01-01T00:00:30Z"}
    cluster.put(POD, {**pod, "metadata": pod["metadata"] | deletion})
    assert (await reviews.identify(_with())).pod_name == "agent-1"


async def test_an_answer_holds_for_a_few_seconds(reviews, cluster, clock):
    await reviews.identify(_with())
    await reviews.identify(_with())
    assert cluster.reviews == 1
    cluster.delete(POD)
    clock.advance(KNOWN_S)
    with pytest.raises(BadRequest, match="does not exist"):
        await reviews.identify(_with())
    assert cluster.reviews == 2


async def test_a_refusal_holds_as_long(reviews, cluster, clock):
    for _ in range(3):
        with pytest.raises(BadRequest):
            await reviews.identify(_with("other"))
    assert cluster.reviews == 1
    cluster.add_pod("team-a", "agent-2", token="other", audience=AUDIENCE)
    clock.advance(KNOWN_S)
    assert (await reviews.identify(_with("other"))).pod_name == "agent-2"


async def test_many_at_once_ask_once(reviews, cluster):
    cluster.delay_s = 0.01
    found = await asyncio.gather(*(reviews.identify(_with()) for _ in range(20)))
    assert (len(set(found)), cluster.reviews) == (1, 1)


async def test_who_gives_up_does_not_take_the_answer_from_others(reviews, cluster):
    cluster.delay_s = 0.05
    first = asyncio.ensure_future(reviews.identify(_with()))
    second = asyncio.ensure_future(reviews.identify(_with()))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).pod_name == "agent-1"


async def test_more_than_can_be_asked_at_once_are_told_to_come_again(reviews, cluster):
    cluster.delay_s = 0.05
    asked = await asyncio.gather(
        *(reviews.identify(_with(f"t{number}")) for number in range(300)), return_exceptions=True
    )
    assert {error.status for error in asked} == {401, 429}


@pytest.mark.parametrize("status", [500, 403, 401, 429])
async def test_an_api_server_that_does_not_answer_is_not_the_pods_fault(reviews, cluster, status):
    cluster.fails_with = status
    with pytest.raises(Unavailable, match=f"with {status}"):
        await reviews.identify(_with())
    cluster.fails_with = None
    assert (await reviews.identify(_with())).pod_name == "agent-1"


async def test_a_slow_api_server_is_given_up(cluster, clock):
    cluster.delay_s = 5.0
    async with ApiServer(cluster.url, timeout_s=0.05) as server:
        reviews = TokenReviews(server, clock)
        with pytest.raises(Unavailable, match="can't be asked"):
            await reviews.identify(_with())
        await reviews.aclose()


async def test_an_api_server_that_is_away_is_said(clock, unused_tcp_port):
    async with ApiServer(f"http://127.0.0.1:{unused_tcp_port}") as server:
        reviews = TokenReviews(server, clock)
        with pytest.raises(Unavailable, match="can't be asked"):
            await reviews.identify(_with())
        await reviews.aclose()


async def test_no_token_is_ever_logged_or_said(reviews, cluster, caplog):
    with caplog.at_level(logging.DEBUG):
        cluster.fails_with = 500
        with pytest.raises(Unavailable) as error:
            await reviews.identify(_with("secret-token"))
        cluster.fails_with = None
        with pytest.raises(BadRequest) as refused:
            await reviews.identify(_with("secret-token"))
    ours = [record.getMessage() for record in caplog.records if "remora" in record.name]
    assert "secret-token" not in "".join([*ours, str(error.value), str(refused.value)])
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Basic eDp5"),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer a b"),),
        (("authorization", "Bearer t\x00"),),
        (("authorization", f"Bearer {'x' * 9000}"),),
        (("authorization-bin", b"Bearer t"),),
    ],
    ids=["none", "empty", "basic", "no token", "two words", "control", "long", "binary"],
)
async def test_what_is_no_token_is_not_asked_about(reviews, cluster, metadata):
    with pytest.raises(BadRequest) as refused:
        await reviews.identify(metadata)
    assert (refused.value.status, cluster.reviews) == (401, 0)


@given(st.text(max_size=40))
def test_any_text_is_a_token_or_refused(text):
    try:
        token = bearer_token((("authorization", text),))
    except BadRequest as refused:
        assert refused.status == 401  # noqa: PT017 - either will do
    else:
        assert text.endswith(token) or text.strip().endswith(token)


async def test_the_operator_shows_its_own_token_and_checks_the_servers_name(tmp_path, clock):
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    root, own = tmp_path / "ca.crt", tmp_path / "token"
    root.write_bytes(ca.cert_pem.bytes())
    own.write_text("operators-own\n")
    async with KubernetesApi().serving(context) as cluster:
        cluster.callers = {"operators-own"}
        cluster.add_pod("team-a", "agent-1", token=TOKEN, audience=AUDIENCE)
        async with ApiServer(cluster.url, token_file=own, ca_file=root) as server:
            reviews = TokenReviews(server, clock)
            assert (await reviews.identify(_with())).namespace == "team-a"
            own.write_text("renewed")
            cluster.callers = {"renewed"}
            clock.advance(KNOWN_S)
            assert (await reviews.identify(_with())).namespace == "team-a"
            await reviews.aclose()
        async with ApiServer(cluster.url, token_file=own) as stranger:
            with pytest.raises(Unavailable, match="can't be asked"):
                await stranger.get(POD)


async def test_files_that_can_not_be_read_are_named(tmp_path, cluster):
    async with ApiServer(cluster.url, token_file=tmp_path / "none") as server:
        with pytest.raises(Unavailable, match="none can't be read"):
            await server.get(POD)
    with pytest.raises(Unavailable, match="can't be used"):
        async with ApiServer(cluster.url, ca_file=tmp_path / "none"):
            pass
    with pytest.raises(Unavailable, match="any more"):
        await ApiServer(cluster.url).get(POD)


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
    async with listener, ApiServer(f"http://127.0.0.1:{unused_tcp_port}") as server:
        reviews = TokenReviews(server, clock)
        with pytest.raises(Unavailable, match="API server"):
            await reviews.identify(_with())
        await reviews.aclose()

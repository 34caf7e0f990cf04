"""The webhook over real TLS and HTTP: whatever comes in, a review goes out."""

import asyncio
import json
import logging
import threading
from asyncio import TaskGroup

import aiohttp
import pytest
import trustme
from tests.operator.pods import CONFIG, ENABLED, container, pod, recorded_reviews
from tests.operator.webhook.conftest import NAME, PATIENCE_S
from tests.operator.webhook.reviews import UID, review, well_formed

from remora.errors import ConfigError
from remora_operator.inject import Injection, Namespace
from remora_operator.webhook.admission import QUICK_BYTES
from remora_operator.webhook.application import PATHS
from remora_operator.webhook.bounds import Bounds
from remora_operator.webhook.review import MAX_REVIEW_BYTES, answer


def _body(given_pod=None, **request):
    return json.dumps(review(given_pod, **request)).encode()


def _pure(body, namespace=ENABLED):
    return answer(body, lambda _: namespace, CONFIG, chosen=True).body


LARGE = _body(pod(metadata={"annotations": {"x": "y" * QUICK_BYTES}}))


@pytest.mark.parametrize("path", PATHS)
async def test_a_review_gets_the_pure_answer(webhook, path):
    status, body = await webhook.post(_body(), path)

    assert (status, body) == (200, _pure(_body()))
    assert well_formed(body)["uid"] == UID


async def test_the_path_may_carry_a_query(webhook):
    assert (await webhook.post(_body(), "/inject/pod?timeout=5s"))[0] == 200


@pytest.mark.parametrize("path", PATHS)
async def test_what_the_api_server_chose_is_injected_whatever_labels_say_here(listening, path):
    hook = await listening(namespace_of=lambda name: Namespace(name))
    assert "patch" in well_formed((await hook.post(_body(), path))[1])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/inject/pod", 405, id="get"),
        pytest.param("PUT", "/inject/namespace", 405, id="put"),
        pytest.param("POST", "/", 404, id="root"),
        pytest.param("POST", "/inject", 404, id="no such path"),
    ],
)
async def test_other_methods_and_paths_are_not_there(webhook, method, path, status):
    url = f"https://{webhook.address}{path}"
    async with webhook.session.request(method, url, server_hostname=NAME) as said:
        assert said.status == status
        assert said.headers["Server"] == "remora"


async def _pieces(body, size=60_000):
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize(
    ("body", "headers", "code", "uid"),
    [
        pytest.param(b"", {}, 400, "", id="empty"),
        pytest.param(b"\x00\xff{", {}, 400, "", id="garbage"),
        pytest.param(b"[" * 100_000, {}, 400, "", id="nesting"),
        pytest.param(_body(), {"Content-Type": "text/plain"}, 415, UID, id="content type"),
        pytest.param(b"<xml/>", {"Content-Type": "text/xml"}, 415, "", id="no JSON at all"),
        pytest.param(_body(), {"Content-Encoding": "gzip"}, 415, "", id="compressed"),
        pytest.param(b" " * (MAX_REVIEW_BYTES + 1), {}, 413, "", id="too large, said before"),
    ],
)
async def test_what_can_not_be_read_is_refused_in_a_review(webhook, body, headers, code, uid):
    status, said = await webhook.post(body, headers=headers)

    response = well_formed(said)
    assert (status, response["allowed"]) == (200, False)
    assert (response["status"]["code"], response["uid"]) == (code, uid)
    labels = {"result": "failed", "reason": "Unreadable", "namespace": ""}
    assert webhook.metric("remora_injections_total", **labels) == 1
    assert (await webhook.post(_body()))[1] == _pure(_body())


async def test_a_body_that_turns_out_too_large_is_refused_in_a_review(webhook):
    status, said = await webhook.post(_pieces(b" " * (MAX_REVIEW_BYTES + 1)))
    assert (status, well_formed(said)["status"]["code"]) == (200, 413)


async def test_a_body_in_pieces_is_read(webhook):
    assert (await webhook.post(_pieces(_body(), 7)))[1] == _pure(_body())


HEAD = b"POST /inject/pod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("pause", [False, True], ids=["with the head", "after the head"])
async def test_broken_chunks_are_no_500(listening, pause):
    webhook = await listening(bounds=Bounds(body_s=0.5))
    reader, writer = await webhook.raw()
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    if pause:
        writer.write(b"1\r\n{\r\n")
        await writer.drain()
        await webhook.post(_body())  # by the time that is answered the head has been read
    writer.write(b"zz\r\n{}\r\n0\r\n\r\n")
    said = await asyncio.wait_for(reader.read(), PATIENCE_S)

    assert said.startswith((b"HTTP/1.1 200", b"HTTP/1.0 400"))
    if said.startswith(b"HTTP/1.1 200"):
        body = said.partition(b"\r\n\r\n")[2]
        assert well_formed(body[: body.rindex(b"}") + 1])["status"]["code"] in (400, 408)
    writer.close()


async def test_what_is_no_http_hears_so(webhook):
    reader, writer = await webhook.raw()
    writer.write(b"\x16\x03\x01 not http\r\n\r\n")
    said = await asyncio.wait_for(reader.read(), PATIENCE_S)

    assert said.startswith(b"HTTP/1.0 400")
    assert b"aiohttp" not in said
    writer.close()


async def test_a_client_that_breaks_off_leaves_nothing_behind(webhook, caplog):
    _, writer = await webhook.raw()
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n{")
    await writer.drain()
    writer.transport.abort()

    assert (await webhook.post(_body()))[1] == _pure(_body())
    assert len(webhook.told) == 1
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(pod(metadata={"annotations": {"x": "y" * 3_000_000}}), id="3 MB"),
        pytest.param(pod(*[container(f"c{n}") for n in range(200)]), id="200 containers"),
    ],
)
async def test_a_large_pod_gets_the_pure_answer_and_is_asked_about_on_the_loop(listening, given):
    threads = list[int]()

    def needs(_labels):
        threads.append(threading.get_ident())
        return ENABLED.needs({})

    def namespace_of(name):
        threads.append(threading.get_ident())
        return Namespace(name, ENABLED.labels, needs=needs)

    hook = await listening(namespace_of=namespace_of)
    body = _body(given)
    assert len(body) > QUICK_BYTES

    status, said = await hook.post(body)

    assert (status, said) == (200, _pure(body))
    assert threads == [threading.get_ident()] * 2


@pytest.mark.parametrize("body", [_body(), LARGE], ids=["quick", "in a thread"])
async def test_a_namespace_that_is_deleted_meanwhile_does_not_matter(listening, body):
    hook = await listening(namespace_of=lambda _: None)
    assert "patch" in well_formed((await hook.post(body))[1])


def _broken(*_):
    raise LookupError("secret detail")


@pytest.mark.parametrize("broken", ["namespace_of", "config_of"])
@pytest.mark.parametrize("body", [_body(), LARGE], ids=["quick", "in a thread"])
async def test_an_accident_in_here_is_a_review_that_refuses(listening, caplog, broken, body):
    hook = await listening(**{broken: _broken})

    status, said = await hook.post(body)

    response = well_formed(said)
    assert (status, response["uid"], response["status"]["code"]) == (200, UID, 500)
    assert b"secret detail" not in said
    assert any("could not be decided" in record.message for record in caplog.records)
    labels = {"result": "failed", "reason": "InternalError", "namespace": ""}
    assert hook.metric("remora_injections_total", **labels) == 1


async def test_a_connection_is_kept_for_more_requests(webhook):
    reader, writer = await webhook.raw()
    body = _body()
    for _ in range(3):
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        [length] = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
        said = await reader.readexactly(int(length.split(b":")[1]))
        assert said == _pure(body)
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="says nothing"),
        pytest.param(b"POST /inject/pod HTTP/1.1\r\nHost:", id="half a head"),
    ],
)
async def test_a_head_that_does_not_come_ends_the_connection(listening, sent):
    hook = await listening(bounds=Bounds(head_s=0.2))
    reader, writer = await hook.raw()
    writer.write(sent)

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), PATIENCE_S)
    writer.close()


async def test_a_later_head_has_to_come_in_time_as_well(listening):
    hook = await listening(bounds=Bounds(head_s=0.5))
    reader, writer = await hook.raw()
    body = _body()
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    said = await asyncio.wait_for(reader.readuntil(_pure(body)), PATIENCE_S)
    writer.write(b"POST /inj")

    assert said.startswith(b"HTTP/1.1 200")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), PATIENCE_S)
    writer.close()


async def test_a_body_that_does_not_come_is_refused_in_a_review(listening):
    hook = await listening(bounds=Bounds(body_s=0.2))
    reader, writer = await hook.raw()
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n{")

    said = await asyncio.wait_for(reader.readuntil(b"}}}"), PATIENCE_S)

    assert well_formed(said.partition(b"\r\n\r\n")[2])["status"]["code"] == 408
    writer.close()


async def test_a_handshake_that_does_not_come_ends_the_connection(listening):
    hook = await listening(bounds=Bounds(handshake_s=0.2))
    host, port = hook.address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))

    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    writer.close()
    assert (await hook.post(_body()))[0] == 200


async def test_who_is_idle_longest_makes_room_and_the_api_server_gets_in(listening):
    hook = await listening(bounds=Bounds(connections=3))
    silent = [await hook.raw() for _ in range(3)]

    status, _ = await hook.post(_body())

    assert status == 200
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(silent[0][0].readexactly(1), PATIENCE_S)
    assert hook.metric("remora_operator_webhook_connections_turned_away_total") == 1
    assert hook.metric("remora_operator_webhook_connections") == 3
    for _, writer in silent:
        writer.close()


async def test_large_bodies_share_a_bound_and_small_ones_pass_it(listening):
    hook = await listening(bounds=Bounds(held_bytes=1_000_000, body_s=PATIENCE_S))
    reader, writer = await hook.raw()
    writer.write(HEAD + b"Content-Length: 1200000\r\n\r\n{")
    await writer.drain()
    while True:  # until the first has taken its share
        _, said = await hook.post(b" " * 1_100_000)
        if well_formed(said)["status"]["code"] == 429:
            break

    assert (await hook.post(_body()))[1] == _pure(_body())
    writer.close()
    del reader
    while True:  # until the first has been noticed to be gone, and its share with it
        _, said = await hook.post(b" " * 1_100_000)
        if well_formed(said)["status"]["code"] == 400:
            break


class _SlowLabels(dict):
    """Labels whose reader waits in its thread."""

    def __init__(self, labels):
        super().__init__(labels)
        self.is_read, self.go_on = threading.Event(), threading.Event()

    def get(self, *args):
        self.is_read.set()
        assert self.go_on.wait(PATIENCE_S)
        return super().get(*args)


async def test_a_stop_lets_an_answer_end_and_takes_nothing_new(listening):
    labels = _SlowLabels(ENABLED.labels)
    hook = await listening(namespace_of=lambda name: Namespace(name, labels), drain_s=PATIENCE_S)
    idle, writer = await hook.raw()
    async with TaskGroup() as group:
        asked = group.create_task(hook.post(LARGE))
        assert await asyncio.to_thread(labels.is_read.wait, PATIENCE_S)
        stopped = group.create_task(hook.stop())
        # It hangs up on whoever asks nothing, and then waits for the answer that is under way.
        assert await asyncio.wait_for(idle.read(), PATIENCE_S) == b""
        assert not stopped.done()
        labels.go_on.set()

    assert asked.result() == (200, _pure(LARGE))
    assert len(hook.told) == 1
    with pytest.raises(ConnectionRefusedError):
        await hook.raw()
    writer.close()


async def test_a_stop_does_not_wait_longer_than_it_may(listening):
    labels = _SlowLabels(ENABLED.labels)
    hook = await listening(namespace_of=lambda name: Namespace(name, labels), drain_s=0.1)
    async with TaskGroup() as group:
        asked = group.create_task(_cut(hook.post(LARGE)))
        assert await asyncio.to_thread(labels.is_read.wait, PATIENCE_S)
        await asyncio.wait_for(hook.stop(), PATIENCE_S)
        assert await asked
        labels.go_on.set()


async def _cut(asking):
    try:
        await asking
    except aiohttp.ClientError:
        return True
    return False


async def test_a_certificate_that_is_loaded_anew_is_shown_at_once(webhook, server_tls, authority):
    async def serial():
        _, writer = await webhook.raw()
        shown = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
        writer.close()
        return shown

    before = await serial()
    authority.issue_cert(NAME, key_type=trustme.KeyType.ECDSA).configure_cert(server_tls)
    assert await serial() != before


async def test_an_address_that_is_taken_is_named(webhook, listening):
    with pytest.raises(ConfigError, match="REMORA_OPERATOR_WEBHOOK_LISTEN"):
        await listening(webhook.address)


async def test_answers_are_told_once_they_were_sent(webhook):
    await webhook.post(_body())
    await asyncio.wait_for(webhook.heard.wait(), PATIENCE_S)

    [told] = webhook.told
    assert isinstance(told.decision, Injection)


async def test_injections_are_counted_by_result_reason_and_namespace(webhook):
    for body in [
        _body(),
        _body(dryRun=True),
        _body(operation="DELETE"),
        _body(pod(container(securityContext={"runAsUser": 1500}))),
        _body(pod(metadata={"labels": {"remora.dev/inject": "false"}})),
    ]:
        await webhook.post(body)

    def count(result, reason):
        labels = {"result": result, "reason": reason, "namespace": "team"}
        return webhook.metric("remora_injections_total", **labels)

    assert count("injected", "transparent") == 1
    assert count("refused", "Unsafe") == 1
    assert count("skipped", "PodOptOut") == 1
    assert webhook.metric("remora_operator_admission_seconds_count") == 5


async def test_recorded_reviews_get_the_pure_answers(webhook):
    reviews = recorded_reviews()
    if not reviews:
        pytest.skip("no recorded reviews: set REMORA_CORPUS to their folder")
    for recorded in reviews:
        body = json.dumps(recorded.review).encode()
        assert await webhook.post(body) == (200, _pure(body)), recorded.id


async def test_a_client_of_another_root_is_not_served(webhook):
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        async with aiohttp.ClientSession() as stranger:
            await stranger.post(f"https://{webhook.address}/inject/pod", server_hostname=NAME)

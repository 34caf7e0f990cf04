"""Clients that are slow, silent, many or hostile: bounded, and others are served meanwhile."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import pytest

from remora_aggregator.web.front import Bounds
from remora_proto.v1 import records_pb2 as pb

GET = b"GET /v1/records HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = 24 * 1024 * 1024


@asynccontextmanager
async def connected(api, *, receive_bytes=0):
    """A plain connection; with a small buffer of its own if asked for."""
    made = socket.socket()
    if receive_bytes:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", api.port))
    reader, writer = await asyncio.open_connection(sock=made)
    async with asyncio.timeout(30):
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def rest(reader):
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def problem_in(raw):
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, json.loads(body)


async def test_a_thousand_silent_connections_keep_nobody_out(open_api, call):
    async with open_api(bounds=Bounds(connections=100)) as api:
        await api.put(call(1))
        loop = asyncio.get_running_loop()
        silent = []
        try:
            for _ in range(1_000):
                silent.append(socket.socket())
                silent[-1].setblocking(False)
                await loop.sock_connect(silent[-1], ("127.0.0.1", api.port))
                if len(silent) % 250 == 0:
                    assert (await api.get("/v1/records")).call_numbers == [1]
            connections = api.http.front.connections
            assert len(connections) <= 100
            assert connections.made_way >= 800
            assert (await api.get("/readyz")).status == 200
        finally:
            for one in silent:
                one.close()


async def test_a_head_that_comes_drop_by_drop_is_not_waited_for(open_api):
    async with open_api(bounds=Bounds(idle_s=0.3)) as api, connected(api) as (reader, writer):
        ended = asyncio.get_running_loop().create_task(rest(reader))
        for letter in GET * 1000:
            if ended.done():
                break
            writer.write(bytes([letter]))
            await asyncio.wait([ended], timeout=0.02)
        assert await ended == b""


async def test_a_connection_that_says_nothing_ends(open_api):
    async with open_api(bounds=Bounds(idle_s=0.1)) as api, connected(api) as (reader, _):
        assert await rest(reader) == b""


async def test_a_kept_connection_that_says_nothing_more_ends(open_api):
    async with open_api(bounds=Bounds(idle_s=0.1)) as api, connected(api) as (reader, writer):
        writer.write(GET)
        assert (await rest(reader)).count(b"HTTP/1.1 200") == 1


async def test_a_body_that_does_not_come_is_not_waited_for(open_api):
    async with open_api(bounds=Bounds(body_s=0.1)) as api, connected(api) as (reader, writer):
        writer.write(
            b"POST /v1/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b'Content-Length: 100\r\n\r\n{"token": '
        )
        status, _, problem = problem_in(await rest(reader))
        assert (status, problem["code"]) == (408, "too-slow")


async def _store_large(api, call):
    body = pb.Body(content=b"x" * LARGE)
    await api.put(call(1, request_body=body))


async def test_who_does_not_read_an_answer_is_cut_off_and_its_place_is_free(open_api, call):
    bounds = Bounds(questions=1, answer_s=0.5)
    async with open_api(bounds=bounds) as api:
        await _store_large(api, call)
        async with connected(api, receive_bytes=4096) as (reader, writer):
            reader._limit = 1024  # read no more than this by itself
            writer.write(GET.replace(b"records ", b"records?bodies=1 "))
            await reader.readexactly(100)
            assert (await api.get("/healthz")).status == 200
            refused = await api.get("/v1/records")
            assert (refused.status, refused.json["code"]) == (503, "unavailable")
            while api.http.front.questions:
                await api.get("/healthz")
            assert (await api.get("/v1/records")).status == 200
            assert len(await rest(reader)) < LARGE


async def test_answers_with_bodies_wait_for_each_other_and_others_do_not(open_api, call):
    async with open_api(bounds=Bounds(bodies=1, answer_s=0.5)) as api:
        await _store_large(api, call)
        async with connected(api, receive_bytes=4096) as (reader, writer):
            reader._limit = 1024
            writer.write(GET.replace(b"records ", b"records?bodies=1 "))
            await reader.readexactly(100)
            assert api.http.front.body_places.locked()
            assert (await api.get("/v1/records")).status == 200
            assert (await api.get(f"/v1/records/{1:032x}?bodies=1")).status == 200
        assert not api.http.front.body_places.locked()


async def test_a_watcher_that_does_not_read_is_cut_off(open_api, call):
    async with open_api(bounds=Bounds(answer_s=0.3)) as api:
        await _store_large(api, call)
        async with connected(api, receive_bytes=4096) as (reader, writer):
            reader._limit = 1024
            writer.write(GET.replace(b"records ", b"records/watch?cursor=r0&bodies=1 "))
            await reader.readexactly(100)
            while api.http.front.watchers:
                assert (await api.get("/v1/records")).call_numbers == [1]


async def test_a_store_that_does_not_answer_in_time_is_said(open_api, monkeypatch):
    async with open_api(bounds=Bounds(question_s=0.1)) as api:

        async def never(*_, **__):
            await asyncio.Event().wait()

        monkeypatch.setattr(api.store, "page", never)
        answer = await api.get("/v1/records")
        assert (answer.status, answer.json["code"]) == (504, "too-slow")
        assert "shorter span" in answer.json["remedy"]


async def test_a_question_that_nobody_waits_for_is_given_up(open_api, monkeypatch):
    asked, given_up = asyncio.Event(), asyncio.Event()

    async def forever(*_, **__):
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    async with open_api() as api:
        monkeypatch.setattr(api.store, "page", forever)
        async with connected(api) as (_, writer):
            writer.write(GET)
            await asked.wait()
        async with asyncio.timeout(20):
            await given_up.wait()
        assert api.http.front.questions == 0


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"nonsense\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 100 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\na: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["tls", "words", "long line", "many fields", "long field", "chunks"],
)
async def test_what_is_no_http_is_told_so_and_ends(api, sent, caplog):
    async with connected(api) as (reader, writer):
        writer.write(sent)
        status, head, problem = problem_in(await rest(reader))
    assert status in (400, 404)
    assert problem["status"] == status
    assert b"Content-Security-Policy" in head
    assert b"aiohttp" not in head
    assert caplog.text == ""


async def test_requests_in_a_row_on_one_connection_are_answered_in_order(api, call):
    await api.put(call(1))
    async with connected(api) as (reader, writer):
        last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        writer.write(GET.replace(b"/v1/records", b"/healthz") + GET + last)
        raw = await rest(reader)
    assert raw.count(b"HTTP/1.1 200 OK") == 3
    assert raw.index(b'"ok"') < raw.index(b'"records"')


async def test_a_client_that_goes_while_it_is_answered_leaves_nothing_behind(api, call):
    await api.put(call(1))
    for _ in range(20):
        async with connected(api) as (_, writer):
            writer.write(GET)
            await writer.drain()
    async with asyncio.timeout(20):
        while api.http.front.questions or len(api.http.front.connections) > 1:
            await api.get("/healthz")

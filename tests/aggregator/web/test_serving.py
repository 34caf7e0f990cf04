"""Where HTTP is served, how it stops, and what stands in its way."""

import asyncio
import json
import os
import socket

import aiohttp
import pytest

from remora.errors import ConfigError
from remora.testing.server_process import ServerProcess, part_command
from remora_aggregator.settings import AggregatorSettings, read_settings


async def test_a_stopping_aggregator_says_so_first_and_sends_watchers_away(api, call):
    await api.put(call(1))
    url = f"http://{api.http.address}/v1/records/watch?cursor=r0"
    async with asyncio.timeout(20), api.client.get(url) as watch:
        while b"event: record" not in await watch.content.readline():
            pass
        assert not api.http.front.connections.nothing_asked.is_set()
        api.http.stop_soon()
        ready = await api.get("/readyz")
        assert (ready.status, ready.json["problems"]) == (503, ["the aggregator is stopping"])
        assert (await watch.content.read()).endswith(b"}\n\n")
        assert (await api.get("/v1/records")).call_numbers == [1]
        assert (await api.get("/v1/records/watch")).status == 503
        await api.http.finished(20)
        assert api.http.front.connections.nothing_asked.is_set()


async def test_what_is_being_answered_is_finished(open_api, call, monkeypatch):
    asked, go_on = asyncio.Event(), asyncio.Event()
    async with open_api() as api:
        await api.put(call(1))
        page = api.store.page

        async def slow(*given, **options):
            asked.set()
            await go_on.wait()
            return await page(*given, **options)

        monkeypatch.setattr(api.store, "page", slow)
        answer = asyncio.get_running_loop().create_task(api.get("/v1/records"))
        await asked.wait()
        api.http.stop_soon()
        finished = asyncio.get_running_loop().create_task(api.http.finished(20))
        await asyncio.wait([finished], timeout=0.05)
        assert not finished.done()
        go_on.set()
        assert (await answer).call_numbers == [1]
        await finished


async def test_what_is_not_finished_in_time_is_left_and_said(open_api, monkeypatch, caplog):
    async def never(*_, **__):
        asked.set()
        await asyncio.Event().wait()

    asked = asyncio.Event()
    async with open_api() as api:
        monkeypatch.setattr(api.store, "page", never)
        asking = asyncio.get_running_loop().create_task(api.get("/v1/records"))
        await asked.wait()
        api.http.stop_soon()
        await api.http.finished(0.05)
        assert "not finished" in caplog.text
    with pytest.raises(aiohttp.ClientError):
        await asking


async def test_it_is_served_on_a_unix_socket_too(open_api, tmp_path, call):
    path = tmp_path / "http.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    async with open_api(http_listen=f"unix:{path}") as api:
        await api.put(call(1))
        connector = aiohttp.UnixConnector(str(path))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get("http://localhost/v1/records") as answer,
        ):
            assert len((await answer.json())["records"]) == 1
    assert not path.exists()


async def test_it_is_served_nowhere_if_that_is_asked_for(open_api):
    async with open_api(http_listen="none") as api:
        assert api.http.address == ""


async def test_a_port_that_is_taken_is_said_where_it_was_asked_for(open_api):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match="REMORA_AGGREGATOR_HTTP_LISTEN"):
            async with open_api(http_listen=listen):
                pass


async def test_the_usual_port_that_is_taken_leaves_the_records_served(
    open_api, monkeypatch, caplog
):
    from remora_aggregator import settings

    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(settings.AggregatorSettings, "http_address", listen)
        monkeypatch.setattr(settings.AggregatorSettings, "has_own_http_listen", False)
        async with open_api() as api:
            assert api.http.address == ""
        assert "nothing is served over HTTP" in caplog.text


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "127.0.0.1:15091"),
        ({"listen": "127.0.0.1:0"}, "127.0.0.1:0"),
        ({"listen": "127.0.0.1:7"}, "127.0.0.1:15091"),
        ({"listen": "127.0.0.1:0", "http_listen": "[::1]:8"}, "[::1]:8"),
        ({"http_listen": "none"}, ""),
        ({"http_listen": "unix:/run/x"}, "unix:/run/x"),
    ],
)
def test_where_it_is_served(given, address):
    assert AggregatorSettings(**given).http_address == address


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"http_listen": "nonsense"}, "host:port"),
        ({"http_listen": "0.0.0.0:1"}, "needs TLS and tokens"),
        ({"http_listen": "0.0.0.0:1", "token_file": "t", "http_hosts": "a"}, "needs TLS"),
        (
            {"http_listen": "[::]:1", "token_file": "t", "tls_cert": "c", "tls_key": "k"},
            "REMORA_AGGREGATOR_HTTP_HOSTS",
        ),
        ({"http_hosts": "a b"}, "no name or address"),
        ({"http_hosts": "https://x"}, "no name or address"),
    ],
)
def test_what_is_set_wrong_is_said(given, said):
    with pytest.raises(ConfigError, match=said):
        read_settings(**given)


def test_names_are_a_list_with_commas(monkeypatch):
    monkeypatch.setenv("REMORA_AGGREGATOR_HTTP_HOSTS", "a.example, [::5] ,10.0.0.1")
    assert read_settings().http_hosts == ("a.example", "[::5]", "10.0.0.1")


async def test_a_key_that_is_too_short_is_refused(open_api, tmp_path):
    (tmp_path / "short").write_bytes(b"x" * 31)
    for name in ("short", "missing"):
        with pytest.raises(ConfigError, match="SIGN_IN_KEY_FILE"):
            async with open_api(sign_in_key_file=tmp_path / name):
                pass


async def test_a_process_that_is_told_to_stop_ends_its_watches_and_exits_well(tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "REMORA_AGGREGATOR_LISTEN": "127.0.0.1:0",
        "REMORA_AGGREGATOR_DRAIN_S": "10",
    }
    command = part_command("aggregator", "--ready-json")
    log = tmp_path / "log"
    server = await asyncio.to_thread(ServerProcess, "aggregator", command, environment, log)
    with server:
        url = f"http://{server.ready['http_address']}/v1/records/watch"
        async with asyncio.timeout(30), aiohttp.ClientSession() as client, client.get(url) as watch:
            assert (await watch.content.readline()) == b"retry: 2000\n"
            stopping = asyncio.get_running_loop().run_in_executor(None, server.stop)
            rest = await watch.content.read()
            assert json.loads(rest.split(b"data: ")[1].split(b"\n")[0]) == {"cursor": "r0"}
        assert await stopping == 0
    assert log.read_text() == ""

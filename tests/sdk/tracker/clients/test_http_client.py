"""Connections of http.client: kept ones, explicit ones, ones of a program's own class."""

import http.client
import json
import socket
from contextlib import closing
from typing import Any

import pytest

from remora.tracker.active import UntrackedCallWarning, within

PATH = "/v1/chat/completions"
ASKED = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()


def ask(connection: http.client.HTTPConnection) -> int:
    connection.request("POST", PATH, ASKED)
    with connection.getresponse() as response:
        response.read()
        return response.status


@pytest.mark.parametrize("kind", ["HTTPSConnection", "HTTPConnection"])
def test_a_connection_that_was_opened_by_hand_goes_by_the_sidecar(
    stage: Any, session: Any, kind: str
) -> None:
    host = "api.openai.com" if kind == "HTTPSConnection" else "models.example.com"
    connection = getattr(http.client, kind)(host, timeout=30)
    before = stage.accepted
    with within(session), closing(connection):
        connection.connect()
        assert (connection.host, connection._tunnel_host) == (host, None)
        assert [ask(connection), ask(connection)] == [200, 200]
    assert stage.accepted - before == 1
    stage.records(session, 2)


def test_a_request_in_the_middle_of_another_fails_as_ever(stage: Any, session: Any) -> None:
    connection = http.client.HTTPSConnection("api.openai.com", timeout=30)
    with closing(connection):
        with within(session):
            connection.request("POST", PATH, ASKED)
        with pytest.raises(http.client.CannotSendRequest):
            connection.request("POST", PATH, ASKED)
    stage.records(session)


def test_a_class_that_connects_in_its_own_way_is_left_alone(stage: Any, session: Any) -> None:
    class Pinned(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.create_connection(stage.double.address, 30)

    with within(session), closing(Pinned("models.example.com")) as connection:
        assert ask(connection) == 200
    assert stage.requests()[-1].head.header("remora-session") is None
    assert stage.totals(session) == 0


def test_a_tunnel_of_the_programs_own_is_told_about(session: Any, unused_port: int) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", unused_port, timeout=5)
    connection.set_tunnel("api.openai.com", 443)
    with (
        within(session),
        pytest.warns(UntrackedCallWarning, match="proxy of their own"),
        pytest.raises(ConnectionRefusedError),
    ):
        ask(connection)

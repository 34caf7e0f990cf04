"""Proxy connections, driven event by event, without sockets and without waiting."""

import pytest

PROVIDER = "api.openai.com"
PLAIN = "vllm.internal"
ENGINE = ("engine", 0)
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def _connect(target: str, extra: str = "") -> bytes:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{extra}\r\n".encode()


def test_connect_to_a_provider_is_answered_before_anything_is_dialled(drive, hello) -> None:
    made = drive("explicit")
    made.agent_sends(_connect(f"{PROVIDER}:443", "Proxy-Authorization: Basic c2Vzc19hOg==\r\n"))
    assert made.sent == {"agent": ESTABLISHED}
    assert made.dialled == []
    made.agent_sends(hello(PROVIDER))

    (hand_off,) = made.hand_offs
    assert hand_off.proxy_user == "sess_a"
    assert hand_off.destination == f"{PROVIDER}:443"


def test_a_hello_that_comes_with_the_connect_is_read(drive, hello) -> None:
    made = drive("explicit")
    made.agent_sends(_connect(f"{PROVIDER}:443") + hello(PROVIDER))

    assert made.hand_offs[0].tls_name == PROVIDER


def test_connect_to_another_host_dials_first_and_relays_at_once(drive) -> None:
    made = drive("explicit")
    made.agent_sends(_connect("example.com:22"))
    assert made.sent == {}
    server = made.dial_ends()
    assert made.sent == {"agent": ESTABLISHED}
    made.server_sends(server, b"SSH-2.0-x\r\n")

    assert made.sent["agent"] == ESTABLISHED + b"SSH-2.0-x\r\n"


def test_what_comes_with_a_connect_is_relayed_once_it_stands(drive) -> None:
    made = drive("explicit")
    made.agent_sends(_connect("example.com:443") + b"early")
    made.agent_sends(b" and later")
    made.dial_ends()

    assert made.sent[("example.com", 443)] == b"early and later"


def test_a_failed_dial_is_a_502_with_the_reason(drive) -> None:
    made = drive("explicit")
    made.agent_sends(_connect("example.com:443"))
    made.dial_ends("Name or service not known")

    assert made.sent["agent"].startswith(b"HTTP/1.1 502 ")
    assert b"example.com:443: Name or service not known" in made.sent["agent"]
    assert made.closed == ["agent"]


def test_a_client_that_leaves_during_the_dial_ends_the_dial(drive) -> None:
    made = drive("explicit")
    made.agent_sends(_connect("example.com:443"))
    made.agent_ends()

    assert set(made.closed) == {"agent", ("example.com", 443)}


def test_a_guarded_host_is_refused_with_the_reason(drive) -> None:
    made = drive("explicit", guard=lambda host, port: f"not port {port}")
    made.agent_sends(_connect("example.com:853"))

    assert made.sent["agent"].startswith(b"HTTP/1.1 403 ")
    assert b"not port 853" in made.sent["agent"]
    assert made.dialled == []


def test_the_guard_holds_inside_a_connect_to_a_provider_too(drive, hello) -> None:
    made = drive("explicit", guard=lambda host, port: "no")
    made.agent_sends(_connect(f"{PROVIDER}:443"))
    made.agent_sends(hello(PROVIDER, [b"h2"]))

    assert made.dialled == []
    assert made.closed == ["agent"]


def test_connect_to_follows_connect_to_for_every_host(drive) -> None:
    made = drive("explicit", connect_to="::10.0.0.1:8443")
    made.agent_sends(_connect("example.com:443"))

    assert made.dialled == [("10.0.0.1", 8443)]


def test_a_front_name_inside_a_connect_is_an_opaque_connection(drive, hello) -> None:
    made = drive("explicit")
    made.agent_sends(_connect(f"{PROVIDER}:443") + hello("example.com"))

    assert made.dialled == [(PROVIDER, 443)]
    assert made.route.opaque.name == PROVIDER


def test_no_tls_inside_a_connect_to_a_provider_is_blocked_without_a_tls_alert(drive) -> None:
    made = drive("explicit", opaque_allowed=False)
    made.agent_sends(_connect(f"{PROVIDER}:443") + b"\x00\x01")

    assert made.sent == {"agent": ESTABLISHED}
    assert made.closed == ["agent"]


def test_plain_http_inside_a_connect_to_a_plain_provider_goes_to_the_engine(drive) -> None:
    made = drive("explicit")
    head = f"GET /v1/models HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n".encode()
    made.agent_sends(_connect(f"{PLAIN}:8000") + head)
    made.dial_ends()

    assert made.sent[ENGINE] == head
    assert made.hand_offs[0].destination == f"{PLAIN}:8000"


@pytest.mark.parametrize("method", ["GET", "POST", "PROPFIND"])
def test_a_full_url_goes_raw_to_the_engine(drive, method) -> None:
    made = drive("explicit")
    head = f"{method} http://example.com/a HTTP/1.1\r\nHost: example.com\r\n\r\n".encode()
    made.agent_sends(head + b"body")
    made.dial_ends()

    assert made.sent == {ENGINE: head + b"body"}
    assert made.hand_offs[0].destination == ""


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x05\x01\x00", id="socks"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", id="bare newlines"),
        pytest.param(b"\x16\x03\x01\x00\x00", id="broken tls"),
        pytest.param(b"CONNECT api.openai.com:99999 HTTP/1.1\r\n\r\n", id="a port out of range"),
        pytest.param(b"CONNECT :443 HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"CONNECT a..b:443 HTTP/1.1\r\n\r\n", id="an empty label"),
        pytest.param(_connect(f"{'a' * 64}.example:443"), id="a label too long"),
        pytest.param(b"GET " + b"a" * 70_000, id="a head without end"),
    ],
)
def test_what_is_no_proxy_request_is_a_clear_400(drive, data) -> None:
    made = drive("explicit")
    made.agent_sends(data)

    assert made.sent["agent"].startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert made.closed == ["agent"]


def test_tls_to_the_proxy_port_is_a_clear_400(drive, hello) -> None:
    made = drive("explicit")
    made.agent_sends(hello("127.0.0.1"))

    assert made.sent["agent"].startswith(b"HTTP/1.1 400 ")


def test_the_engines_end_ends_the_agent(drive) -> None:
    made = drive("explicit")
    made.agent_sends(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n")
    engine = made.dial_ends()
    made.server_ends(engine)

    assert "agent" in made.closed


def test_a_relays_ends_are_passed_on_one_direction_at_a_time(drive) -> None:
    made = drive("explicit")
    made.agent_sends(_connect("example.com:80"))
    server = made.dial_ends()
    made.agent_ends()
    assert made.half_closed == [("example.com", 80)]
    made.server_sends(server, b"the answer")
    made.server_ends(server)

    assert made.sent["agent"].endswith(b"the answer")
    assert "agent" in made.closed

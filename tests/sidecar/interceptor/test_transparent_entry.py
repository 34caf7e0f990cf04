"""Redirected connections, driven event by event, without sockets and without waiting."""

import pytest

from remora_sidecar.interceptor.layers import fatal_alert

PROVIDER = "api.openai.com"
PLAIN = "vllm.internal"
ENGINE = ("engine", 0)
SERVER = ("192.0.2.7", 443)


def test_a_hello_to_a_provider_is_terminated_and_handed_off(drive, real_hello) -> None:
    made = drive()
    made.agent_sends(real_hello(PROVIDER))

    (hand_off,) = made.hand_offs
    assert (hand_off.tls_name, hand_off.destination, hand_off.port, hand_off.mode) == (
        PROVIDER, "192.0.2.7:443", 443, "transparent",
    )  # fmt: skip
    assert made.sent["agent"][:2] == b"\x16\x03"
    assert made.dialled == []  # the engine comes after the handshake


def test_a_hello_in_pieces_is_judged_once_it_is_whole(drive, hello) -> None:
    made = drive()
    data = hello(PROVIDER)
    for at in range(len(data) - 1):
        made.agent_sends(data[at : at + 1])
    assert made.hand_offs == []
    made.agent_sends(data[-1:])

    assert len(made.hand_offs) == 1


def test_another_host_is_relayed_with_its_first_bytes(drive, hello) -> None:
    made = drive()
    made.agent_sends(hello("example.com"))
    assert made.dialled == [SERVER]
    server = made.dial_ends()
    made.server_sends(server, b"\x16\x03\x03")

    assert made.sent == {SERVER: hello("example.com"), "agent": b"\x16\x03\x03"}
    assert made.route.opaque is None


def test_plain_http_to_a_plain_provider_goes_to_the_engine(drive) -> None:
    made = drive(destination=("192.0.2.7", 8000))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {PLAIN}:8000\r\n\r\n".encode()
    made.agent_sends(head + b"{")
    assert made.dialled == [ENGINE]
    made.dial_ends()

    assert made.sent == {ENGINE: head + b"{"}
    assert made.hand_offs[0].tls_name == ""


def test_plain_http_to_any_other_host_is_relayed(drive) -> None:
    made = drive(destination=("192.0.2.7", 80))
    made.agent_sends(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")

    assert made.dialled == [("192.0.2.7", 80)]


def test_a_silent_client_gets_its_server_which_speaks_first(drive) -> None:
    made = drive()
    made.time_passes()
    server = made.dial_ends()
    made.server_sends(server, b"220 mail\r\n")
    made.agent_sends(b"EHLO me\r\n")

    assert made.sent == {"agent": b"220 mail\r\n", SERVER: b"EHLO me\r\n"}


def test_a_timer_that_goes_off_later_disturbs_nothing(drive, hello) -> None:
    made = drive()
    made.agent_sends(hello("example.com"))
    server = made.dial_ends()
    made.time_passes()
    made.server_sends(server, b"x")

    assert made.sent["agent"] == b"x"
    assert made.closed == []


def test_half_a_hello_is_no_silence(drive, hello) -> None:
    made = drive()
    made.agent_sends(hello(PROVIDER)[:20])
    made.time_passes()

    assert made.dialled == []


@pytest.mark.parametrize("when", ["while it is dialled", "once it is open"])
def test_a_slow_hello_is_still_judged_and_the_server_left(drive, real_hello, when) -> None:
    made = drive()
    made.time_passes()
    server = made.dial_ends() if when == "once it is open" else None
    made.agent_sends(real_hello(PROVIDER))
    assert made.closed == [SERVER]
    assert made.hand_offs[0].tls_name == PROVIDER
    # What the driver still reports of the server that was left.
    if server is None:
        made.dial_ends("connection cancelled")
    else:
        made.server_sends(server, b"too late")
        made.server_ends(server)

    assert made.closed == [SERVER]
    assert made.half_closed == []
    assert b"too late" not in made.sent.get("agent", b"")


def test_a_slow_hello_to_another_host_uses_the_connection_being_dialled(drive, hello) -> None:
    made = drive()
    made.time_passes()
    made.agent_sends(hello("example.com"))
    made.agent_sends(b"more")
    made.dial_ends()

    assert made.sent == {SERVER: hello("example.com") + b"more"}
    assert made.dials == []


def test_a_silent_client_of_an_unreachable_server_may_still_speak_for_a_while(drive, hello) -> None:
    made = drive()
    made.time_passes()
    made.dial_ends("unreachable")
    made.agent_sends(hello(PROVIDER))

    assert made.hand_offs[0].tls_name == PROVIDER


def test_a_client_that_stays_silent_before_an_unreachable_server_is_closed(drive) -> None:
    made = drive()
    made.time_passes()
    made.dial_ends("unreachable")
    assert made.closed == []
    made.time_passes()

    assert made.closed == ["agent"]


def test_a_relay_that_can_not_be_dialled_closes_the_client(drive, hello) -> None:
    made = drive()
    made.time_passes()
    made.agent_sends(hello("example.com"))
    made.dial_ends("unreachable")
    made.dial_ends("unreachable")  # a second try, now that the client has spoken

    assert made.closed == ["agent"]


@pytest.mark.parametrize("silent_first", [False, True], ids=["at once", "slow"])
def test_an_h2_only_client_is_relayed_and_counted_where_allowed(drive, hello, silent_first) -> None:
    made = drive()
    if silent_first:
        made.time_passes()
        server = made.dial_ends()
    made.agent_sends(hello(PROVIDER, [b"h2"]))
    if not silent_first:
        server = made.dial_ends()
    made.server_sends(server, b"12345")

    assert made.route.opaque.name == PROVIDER
    assert made.route.opaque.from_agent_bytes == len(hello(PROVIDER, [b"h2"]))
    assert made.route.opaque.to_agent_bytes == 5
    assert not made.route.opaque.blocked


def test_an_unread_connection_follows_connect_to(drive, hello) -> None:
    made = drive(connect_to=f"{PROVIDER}:443:10.0.0.1:8443")
    made.time_passes()
    made.dial_ends()
    made.agent_sends(hello(PROVIDER, [b"h2"]))

    assert made.closed == [SERVER]
    assert made.dialled == [("10.0.0.1", 8443)]


@pytest.mark.parametrize("silent_first", [False, True], ids=["at once", "slow"])
def test_an_h2_only_client_gets_an_alert_where_blocked(drive, hello, silent_first) -> None:
    made = drive(opaque_allowed=False)
    if silent_first:
        made.time_passes()
        made.dial_ends()
    made.agent_sends(hello(PROVIDER, [b"h2"]))

    assert made.sent["agent"] == fatal_alert(120)
    assert made.closed[-1] == "agent"
    assert made.route.opaque.blocked


def test_a_leaf_that_can_not_be_made_ends_in_an_alert(drive, hello, caplog) -> None:
    made = drive()
    made.agent_sends(hello("x.broken.example"))

    assert made.sent["agent"] == fatal_alert(80)
    assert made.closed == ["agent"]
    assert "the CA's certificate expired" in caplog.text


def test_an_agent_that_says_nothing_and_leaves_is_let_go(drive) -> None:
    made = drive()
    made.agent_ends()

    assert made.closed == ["agent"]

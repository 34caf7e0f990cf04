"""What becomes of a connection, by its first bytes and the policy."""

from dataclasses import dataclass

import pytest

from remora_sidecar.interceptor.peek import HttpHead, TlsHello
from remora_sidecar.interceptor.verdict import (
    Block,
    HandOver,
    Relay,
    Terminate,
    judge_http,
    judge_tls,
    judge_tls_inside,
    judge_unread,
)

PROVIDER = "api.openai.com"
PLAIN = "vllm.ml.svc.cluster.local"


@dataclass(frozen=True)
class _Policy:
    opaque_allowed: bool = True

    def terminates(self, host: str) -> bool:
        return host == PROVIDER

    def takes_plain(self, host: str, port: int) -> bool:
        return (host, port) == (PLAIN, 8000)


ALLOW, BLOCK = _Policy(), _Policy(opaque_allowed=False)


@pytest.mark.parametrize(
    ("name", "alpn", "policy", "expected"),
    [
        pytest.param(PROVIDER, (b"h2", b"http/1.1"), BLOCK, Terminate(PROVIDER), id="provider"),
        pytest.param(PROVIDER, (), BLOCK, Terminate(PROVIDER), id="provider, no alpn"),
        pytest.param(PROVIDER, (b"h2",), ALLOW, Relay(PROVIDER), id="h2 alone, allowed"),
        pytest.param(PROVIDER, (b"h2",), BLOCK, Block(PROVIDER), id="h2 alone, blocked"),
        pytest.param("example.com", (b"http/1.1",), BLOCK, Relay(), id="another host"),
        pytest.param("example.com", (b"h2",), BLOCK, Relay(), id="another host, h2 alone"),
        pytest.param("", (), BLOCK, Relay(), id="no name"),
    ],
)
def test_tls_is_judged_by_name_and_protocols(name, alpn, policy, expected) -> None:
    assert judge_tls(TlsHello(name, alpn), name, policy) == expected


@pytest.mark.parametrize(
    ("sni", "connected_to", "policy", "expected"),
    [
        pytest.param(PROVIDER, PROVIDER, BLOCK, Terminate(PROVIDER), id="the same"),
        pytest.param("", PROVIDER, BLOCK, Terminate(PROVIDER), id="no sni"),
        pytest.param("example.com", PROVIDER, BLOCK, Block(PROVIDER), id="a front, blocked"),
        pytest.param("example.com", PROVIDER, ALLOW, Relay(PROVIDER), id="a front, allowed"),
        pytest.param("", PLAIN, BLOCK, Relay(), id="a plain provider"),
    ],
)
def test_tls_in_a_connect_can_not_hide_the_provider(sni, connected_to, policy, expected) -> None:
    hello = TlsHello(sni, (b"http/1.1",))

    assert judge_tls_inside(hello, sni, connected_to, policy) == expected


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        pytest.param(PLAIN, 8000, HandOver(), id="provider"),
        pytest.param(f"{PLAIN.upper()}:8000", 8000, HandOver(), id="with its port"),
        pytest.param(f"{PLAIN}:9000", 8000, HandOver(), id="the port dialled counts"),
        pytest.param(PLAIN, 80, Relay(), id="another port"),
        pytest.param(PROVIDER, 80, Relay(), id="a provider that speaks only TLS"),
        pytest.param("", 8000, Relay(), id="no host"),
        pytest.param("a b", 8000, Relay(), id="no valid host"),
    ],
)
def test_plain_http_is_judged_by_host_and_port(host, port, expected) -> None:
    assert judge_http(HttpHead("POST", "/", host, "", 0), port, BLOCK) == expected


@pytest.mark.parametrize(
    ("policy", "expected"), [(ALLOW, Relay(PROVIDER)), (BLOCK, Block(PROVIDER))]
)
def test_what_can_not_be_read_follows_the_policy(policy, expected) -> None:
    assert judge_unread(PROVIDER, policy) == expected

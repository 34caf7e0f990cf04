"""Who may make which control call."""

import pytest
from multidict import CIMultiDict

from remora_sidecar.control.admission import Kind, admit

TOKEN = "a-token-of-the-owner"
LOOPBACK = {"Host": "127.0.0.1:15080"}
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
PAGE = {"Origin": "https://evil.example"}


@pytest.mark.parametrize(
    ("kind", "headers", "status"),
    [
        pytest.param(Kind.STATUS, {}, None, id="status: anyone"),
        pytest.param(Kind.STATUS, {**PAGE, "Host": "evil.example"}, None, id="status: even pages"),
        pytest.param(Kind.SESSION, LOOPBACK, None, id="session: a local program"),
        pytest.param(Kind.SESSION, {"Host": "localhost:1"}, None, id="session: localhost"),
        pytest.param(Kind.SESSION, {"Host": "LOCALHOST"}, None, id="session: any case"),
        pytest.param(Kind.SESSION, {"Host": "[::1]:15080"}, None, id="session: IPv6"),
        pytest.param(Kind.SESSION, {"Host": "127.1.2.3:80"}, None, id="session: all of 127/8"),
        pytest.param(Kind.SESSION, {**LOOPBACK, **PAGE}, 403, id="session: a page"),
        pytest.param(Kind.SESSION, {**LOOPBACK, "origin": "null"}, 403, id="session: a sandbox"),
        pytest.param(Kind.SESSION, {**LOOPBACK, "Origin": ""}, 403, id="session: empty origin"),
        pytest.param(Kind.SESSION, {"Host": "evil.example"}, 403, id="session: rebinding"),
        pytest.param(Kind.SESSION, {"Host": "127.0.0.1.evil.example"}, 403, id="session: a trick"),
        pytest.param(Kind.SESSION, {"Host": "localhost.evil"}, 403, id="session: another trick"),
        pytest.param(Kind.SESSION, {"Host": "10.0.0.1"}, 403, id="session: the pod's address"),
        pytest.param(Kind.SESSION, {"Host": "a b"}, 403, id="session: no host name"),
        pytest.param(Kind.SESSION, {}, 403, id="session: no host"),
        pytest.param(Kind.ADMIN, {**LOOPBACK, **ADMIN}, None, id="admin: the owner"),
        pytest.param(
            Kind.ADMIN,
            {**LOOPBACK, "authorization": f"bearer  {TOKEN} "},
            None,
            id="admin: any spelling",
        ),
        pytest.param(Kind.ADMIN, LOOPBACK, 401, id="admin: no token"),
        pytest.param(
            Kind.ADMIN, {**LOOPBACK, "Authorization": f"Basic {TOKEN}"}, 401, id="admin: Basic"
        ),
        pytest.param(
            Kind.ADMIN, {**LOOPBACK, "Authorization": "Bearer wrong"}, 401, id="admin: wrong"
        ),
        pytest.param(
            Kind.ADMIN, {**LOOPBACK, "Authorization": f"Bearer {TOKEN}x"}, 401, id="admin: longer"
        ),
        pytest.param(Kind.ADMIN, {**LOOPBACK, "Authorization": "Bearer"}, 401, id="admin: empty"),
        pytest.param(
            Kind.ADMIN, {**LOOPBACK, "Authorization": "Bearer \udcff\udce4"}, 401, id="admin: bytes"
        ),
        pytest.param(Kind.ADMIN, {**LOOPBACK, **ADMIN, **PAGE}, 403, id="admin: a page with it"),
        pytest.param(Kind.ADMIN, {"Host": "evil.example", **ADMIN}, 403, id="admin: rebinding"),
    ],
)
def test_a_call_is_admitted_by_kind_origin_host_and_token(kind, headers, status) -> None:
    refusal = admit(kind, CIMultiDict(headers), TOKEN)

    assert (refusal.status if refusal else None) == status


def test_a_refusal_never_says_the_token() -> None:
    refusal = admit(Kind.ADMIN, CIMultiDict(LOOPBACK), TOKEN)

    assert TOKEN not in repr(refusal)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("gateway.example:9000", None, id="a name it was started with"),
        pytest.param("GATEWAY.example.", None, id="in any spelling"),
        pytest.param("[2001:db8::7]:9000", None, id="an address of its own"),
        pytest.param("127.0.0.1", None, id="loopback still"),
        pytest.param("evil.example", 403, id="any other"),
        pytest.param("gateway.example.evil", 403, id="a trick"),
        pytest.param("", 403, id="none"),
    ],
)
def test_a_remote_gateway_has_names_besides_loopback(host, status) -> None:
    hosts = {"gateway.example", "2001:db8::7"}

    refusal = admit(Kind.SESSION, CIMultiDict({"Host": host}), TOKEN, hosts)

    assert (refusal and refusal.status) == status

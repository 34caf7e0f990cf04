"""Hosts and ports as HTTP writes them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.model.authority_form import basic_user, split_authority


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("api.openai.com", ("api.openai.com", 443)),
        ("API.OpenAI.com.:8443", ("api.openai.com", 8443)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
        ("[2001:DB8::1]", ("2001:db8::1", 443)),
        ("a_b-c.internal", ("a_b-c.internal", 443)),
        ("x" * 63, ("x" * 63, 443)),
    ],
)
def test_an_authority_is_split(text, expected) -> None:
    assert split_authority(text, 443) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(":443", id="no host"),
        pytest.param("a:", id="no port"),
        pytest.param("a:0", id="port 0"),
        pytest.param("a:65536", id="port too large"),
        pytest.param("a:٣", id="digits of another script"),
        pytest.param("a:443:443", id="two ports"),
        pytest.param("::1", id="IPv6 without brackets"),
        pytest.param("[::1", id="half a bracket"),
        pytest.param("[]:443", id="empty brackets"),
        pytest.param("a b", id="a space"),
        pytest.param("a\r\nHost: b", id="a line break"),
        pytest.param("user@a", id="a user"),
        pytest.param("a/b", id="a path"),
        pytest.param("a..b", id="an empty label"),
        pytest.param(".", id="the root"),
        pytest.param("x" * 64, id="a label too long"),
        pytest.param(".".join(["x" * 60] * 5), id="a name too long"),
        pytest.param("bücher.example", id="not ASCII"),
    ],
)
def test_what_is_no_authority_is_none(text) -> None:
    assert split_authority(text, 443) is None


@given(st.text(max_size=80))
def test_a_host_that_is_taken_can_be_resolved(text) -> None:
    split = split_authority(text, 443)

    if split is not None:
        assert split[0].encode("idna")  # what the resolver does first
        assert 0 < split[1] < 65536


@pytest.mark.parametrize(
    ("authorization", "user"),
    [
        pytest.param("Basic " + base64.b64encode(b"sess_1:").decode(), "sess_1", id="no password"),
        pytest.param("basic " + base64.b64encode(b"sess_1:x:y").decode(), "sess_1", id="password"),
        pytest.param("Basic " + base64.b64encode(b"sess_1").decode(), "sess_1", id="no colon"),
        pytest.param("Bearer sess_1", "", id="another scheme"),
        pytest.param("Basic ***", "", id="no base64"),
        pytest.param("Basic ä", "", id="not ASCII"),
        pytest.param("Basic " + base64.b64encode(b"\xff:").decode(), "", id="no text"),
        pytest.param("Basic", "", id="nothing"),
        pytest.param("", "", id="no header"),
    ],
)
def test_the_user_of_a_proxy_url_is_read(authorization, user) -> None:
    assert basic_user(authorization) == user


@given(st.text())
def test_no_header_breaks_the_reader(authorization) -> None:
    assert isinstance(basic_user(authorization), str)

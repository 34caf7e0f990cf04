"""curl's ``--connect-to``, comma-separated."""

import pytest

from remora_sidecar.model.connect_to import ConnectTo


@pytest.mark.parametrize(
    ("text", "dialled"),
    [
        pytest.param("", ("api.openai.com", 443), id="no rule"),
        pytest.param("api.openai.com:443:127.0.0.1:8443", ("127.0.0.1", 8443), id="a rule"),
        pytest.param("API.OpenAI.com:443:127.0.0.1:8443", ("127.0.0.1", 8443), id="any case"),
        pytest.param("api.openai.com:80:127.0.0.1:8443", ("api.openai.com", 443), id="other port"),
        pytest.param("example.com:443:127.0.0.1:1", ("api.openai.com", 443), id="other host"),
        pytest.param("::127.0.0.1:8443", ("127.0.0.1", 8443), id="every host and port"),
        pytest.param(":443:mirror:", ("mirror", 443), id="any host, its own port"),
        pytest.param("api.openai.com:::8443", ("api.openai.com", 8443), id="its own host"),
        pytest.param("::[::1]:8443", ("::1", 8443), id="to IPv6"),
        pytest.param(
            "x:443:a:1, api.openai.com:443:b:2 ,::c:3", ("b", 2), id="the first that matches"
        ),
    ],
)
def test_the_address_to_dial(text, dialled) -> None:
    rules = ConnectTo.parse(text)

    assert rules.dial("api.openai.com", 443) == dialled


def test_a_rule_may_name_an_ipv6_host() -> None:
    rules = ConnectTo.parse("[2001:DB8::1]:443:127.0.0.1:1")

    assert rules.dial("2001:db8::1", 443) == ("127.0.0.1", 1)
    assert rules.redirects("2001:db8::1", 443)
    assert not rules.redirects("2001:db8::2", 443)


@pytest.mark.parametrize(
    "text", ["host", "a:b:c:d", "a:1:b", "a:1:b:2:3", "a:99999:b:2", "a:0:b:1", "::1:1:b:2"]
)
def test_what_is_no_rule_is_named(text) -> None:
    with pytest.raises(ValueError, match=r"is not HOST1|out of range"):
        ConnectTo.parse(text)

"""A gateway's settings: what the command line decides, and what variables still do."""

import os
from pathlib import Path

import pytest

from remora.errors import ConfigError
from remora_sidecar.gateway_settings import GatewaySettings, read_gateway_settings

FOLDER = Path("/var/lib/gateway")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean environment, whatever the tests were started with."""
    for name in [name for name in os.environ if name.startswith("REMORA_")]:
        monkeypatch.delenv(name)


def read(host: str = "127.0.0.1") -> GatewaySettings:
    return read_gateway_settings(host, 9000, FOLDER)


def test_without_variables_it_caches_and_keeps_records_to_itself() -> None:
    settings = read()

    assert (settings.preset, settings.aggregator) == ("tracker-cached", "none")
    assert settings.status_listen == ("127.0.0.1", 0)
    assert (settings.data_dir, settings.in_pod) == (FOLDER, False)


def test_variables_set_what_the_command_line_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMORA_AGGREGATOR", "records.example:15090")
    monkeypatch.setenv("REMORA_PRESET", "tracker")
    monkeypatch.setenv("REMORA_STATUS_LISTEN", "127.0.0.1:15021")
    settings = read()

    assert (settings.aggregator, settings.preset) == ("records.example:15090", "tracker")
    assert settings.status_listen == ("127.0.0.1", 15021)


def test_no_variable_moves_or_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMORA_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("REMORA_CONTROL_LISTEN", "0.0.0.0:1")
    monkeypatch.setenv("REMORA_DATA_DIR", "/elsewhere")
    monkeypatch.setenv("REMORA_MODE", "transparent")
    settings = read()

    assert settings.listen == (("127.0.0.1", 0),)
    assert settings.control_listen == ("127.0.0.1", 9000)
    assert (settings.data_dir, settings.mode) == (FOLDER, "explicit")


def test_another_address_is_where_it_listens_for_everything() -> None:
    settings = read("192.0.2.7")

    assert settings.listen == (("192.0.2.7", 0),)
    assert settings.control_listen == ("192.0.2.7", 9000)


def test_every_variable_that_can_not_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMORA_AGGREGATOR", "no address")
    monkeypatch.setenv("REMORA_SESSION_PORTS", "-1")

    with pytest.raises(ConfigError) as raised:
        read()

    where = {problem.where for problem in raised.value.problems}
    assert where == {"REMORA_AGGREGATOR", "REMORA_SESSION_PORTS"}

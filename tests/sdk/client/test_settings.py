"""The settings of programs that ask an aggregator."""

from pathlib import Path

import pytest

from remora.client.settings import read_client_settings
from remora.client.target import AggregatorTarget
from remora.errors import ConfigError


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in ("REMORA_AGGREGATOR", "REMORA_AGGREGATOR_TOKEN_FILE", "REMORA_AGGREGATOR_CA"):
        monkeypatch.delenv(name, raising=False)


def test_nothing_set_is_the_local_aggregator():
    assert read_client_settings().target == AggregatorTarget("127.0.0.1:15090")


def test_an_empty_variable_is_as_one_not_set(monkeypatch):
    monkeypatch.setenv("REMORA_AGGREGATOR", "")
    monkeypatch.setenv("REMORA_AGGREGATOR_CA", "")
    assert read_client_settings().target == AggregatorTarget("127.0.0.1:15090")


def test_variables_make_the_target(monkeypatch, tmp_path: Path):
    token, root = tmp_path / "token", tmp_path / "root.pem"
    token.touch()
    root.touch()
    monkeypatch.setenv("REMORA_AGGREGATOR", "aggregator.internal:443")
    monkeypatch.setenv("REMORA_AGGREGATOR_TOKEN_FILE", str(token))
    monkeypatch.setenv("REMORA_AGGREGATOR_CA", str(root))
    assert read_client_settings().target == AggregatorTarget("aggregator.internal:443", token, root)


def test_an_address_given_goes_before_the_variable(monkeypatch):
    monkeypatch.setenv("REMORA_AGGREGATOR", "elsewhere:1")
    assert read_client_settings("127.0.0.1:2").aggregator == "127.0.0.1:2"


def test_all_problems_are_said_at_once(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("REMORA_AGGREGATOR", "nowhere")
    monkeypatch.setenv("REMORA_AGGREGATOR_TOKEN_FILE", str(tmp_path / "a"))
    monkeypatch.setenv("REMORA_AGGREGATOR_CA", str(tmp_path / "b"))
    with pytest.raises(ConfigError) as caught:
        read_client_settings()
    assert [problem.where for problem in caught.value.problems] == [
        "REMORA_AGGREGATOR",
        "REMORA_AGGREGATOR_TOKEN_FILE",
        "REMORA_AGGREGATOR_CA",
    ]


def test_an_aggregator_that_is_switched_off_can_not_be_asked(monkeypatch):
    monkeypatch.setenv("REMORA_AGGREGATOR", "none")
    with pytest.raises(ConfigError, match="switched off"):
        read_client_settings()

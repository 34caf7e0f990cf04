"""The sidecar's settings: read at once, complained of at once, documented."""

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from remora.client.settings import ClientSettings
from remora.errors import ConfigError
from remora_aggregator.settings import AggregatorSettings
from remora_operator.settings import OperatorSettings
from remora_sidecar.model.connect_to import ConnectTo
from remora_sidecar.netinit.settings import NetworkSettings
from remora_sidecar.settings import (
    SidecarSettings,
    format_address,
    is_loopback,
    parse_address,
    read_settings,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"
TABLES: dict[str, type[BaseSettings]] = {
    "The sidecar": SidecarSettings,
    "Redirect rules": NetworkSettings,
    "The aggregator": AggregatorSettings,
    "The operator": OperatorSettings,
    "Programs that ask an aggregator": ClientSettings,
}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean environment, whatever the tests were started with."""
    import os

    for name in [name for name in os.environ if name.startswith("REMORA_")]:
        monkeypatch.delenv(name)


def _default(model: type[BaseSettings], name: str) -> str:
    """Write a default as one would set it; a dash where there is none."""
    if name == "data_dir":
        part = "sidecar" if model is SidecarSettings else "aggregator"
        return f"`~/.local/share/remora/{part}`"
    value = model.model_fields[name].get_default(call_default_factory=True)
    if isinstance(value, tuple) and value and isinstance(value[0], str):
        value = format_address(value)
    elif isinstance(value, tuple):
        parts = [format_address(v) if isinstance(v, tuple) else str(v) for v in value]
        value = ",".join(parts)
    return "-" if value in (None, "", {}, ConnectTo()) else f"`{value}`"


def rows_of(model: type[BaseSettings]) -> list[str]:
    """The rows that describe a model."""
    prefix = model.model_config["env_prefix"]
    return [
        f"| `{prefix}{name.upper()}` | {_default(model, name)} | {field.description} |"
        for name, field in model.model_fields.items()
    ]


@pytest.mark.parametrize("title", TABLES)
def test_the_page_describes_every_setting_and_no_other(title) -> None:
    page = DOCUMENT.read_text("utf-8")
    section = re.split(r"^## ", page.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `REMORA_")]

    assert rows == rows_of(TABLES[title])


def test_every_setting_has_a_description() -> None:
    for model in TABLES.values():
        assert [name for name, f in model.model_fields.items() if not f.description] == []


def test_without_variables_the_defaults_stand() -> None:
    settings = read_settings()

    assert settings.listen == (("127.0.0.1", 15001), ("::1", 15001))
    assert settings.trust_folder == settings.data_dir / "trust"


def test_variables_are_read(monkeypatch, tmp_path) -> None:
    token = tmp_path / "token"
    token.write_text("x" * 20)
    for name, value in {
        "LISTEN": "127.0.0.1:1, [::1]:2",
        "SESSION_LISTEN": "localhost:3",
        "LABELS": "app=research, tier=gold",
        "CONNECT_TO": "api.openai.com:443:127.0.0.1:8443",
        "ADMIN_TOKEN_FILE": str(token),
        "AGGREGATOR": "none",
        "LINGER_S": "2",
    }.items():
        monkeypatch.setenv(f"REMORA_{name}", value)
    settings = read_settings()

    assert settings.listen == (("127.0.0.1", 1), ("::1", 2))
    assert settings.session_listen == ("localhost", 3)
    assert settings.labels == {"app": "research", "tier": "gold"}
    assert settings.connect_to.dial("api.openai.com", 443) == ("127.0.0.1", 8443)
    assert settings.admin_token_file == token
    assert settings.linger_s == 2


def test_an_empty_variable_is_none_at_all(monkeypatch) -> None:
    defaults = read_settings()
    for name in SidecarSettings.model_fields:
        monkeypatch.setenv(f"REMORA_{name.upper()}", "")

    assert read_settings() == defaults


def test_every_problem_is_reported_at_once(monkeypatch, tmp_path) -> None:
    wrong = {
        "MODE": "invisible",
        "LISTEN": "0.0.0.0:15001,127.0.0.1:99999,nonsense",
        "CONTROL_LISTEN": "10.0.0.1:80",
        "SPOOL_BYTES": "12",
        "HELD_BODY_BYTES": "much",
        "CONNECT_TO": "api.openai.com",
        "LABELS": "app",
        "POLICY": str(tmp_path / "nothing.yaml"),
        "UPSTREAM_CA": str(tmp_path),
        "AGGREGATOR": "somewhere",
        "LOG_LEVEL": "loud",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(f"REMORA_{name}", value)

    with pytest.raises(ConfigError) as raised:
        read_settings()

    problems = {problem.where: problem.what for problem in raised.value.problems}
    assert set(problems) == {f"REMORA_{name}" for name in wrong}
    assert "port 99999" in problems["REMORA_LISTEN"]
    assert "'nonsense' is not host:port" in problems["REMORA_LISTEN"]
    assert "not 10.0.0.1:80" in problems["REMORA_CONTROL_LISTEN"]
    assert "there is no file" in problems["REMORA_UPSTREAM_CA"]
    assert "--connect-to" in problems["REMORA_CONNECT_TO"]


@pytest.mark.parametrize("name", ["LISTEN", "SESSION_LISTEN", "CONTROL_LISTEN"])
@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "192.168.1.1:1", "example.com:1"])
def test_agents_are_listened_to_on_loopback_only(monkeypatch, name, address) -> None:
    monkeypatch.setenv(f"REMORA_{name}", address)

    with pytest.raises(ConfigError, match="only loopback addresses"):
        read_settings()


def test_probes_may_be_listened_to_on_every_interface(monkeypatch) -> None:
    monkeypatch.setenv("REMORA_STATUS_LISTEN", "[::]:15021")

    assert read_settings().status_listen == ("::", 15021)


def test_a_list_of_no_address_is_a_problem(monkeypatch) -> None:
    monkeypatch.setenv("REMORA_LISTEN", " , ")

    with pytest.raises(ConfigError, match="REMORA_LISTEN: it names no address"):
        read_settings()


def test_a_shared_cache_needs_a_secret(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("REMORA_CACHE_URL", "redis://:tell-nobody@cache:6379")
    with pytest.raises(ConfigError, match="needs REMORA_CACHE_KEY_FILE") as raised:
        read_settings()
    assert "tell-nobody" not in str(raised.value)

    monkeypatch.setenv("REMORA_CACHE_KEY_FILE", str(tmp_path / "nothing"))
    with pytest.raises(ConfigError) as raised:
        read_settings()
    assert [problem.where for problem in raised.value.problems] == ["REMORA_CACHE_KEY_FILE"]

    (tmp_path / "key").write_text("k" * 32)
    monkeypatch.setenv("REMORA_CACHE_KEY_FILE", str(tmp_path / "key"))
    settings = read_settings()
    assert settings.cache_url is not None
    assert settings.cache_url.get_secret_value() == "redis://:tell-nobody@cache:6379"
    assert "tell-nobody" not in repr(settings)


@pytest.mark.parametrize("url", ["cache:6379", "http://cache", "redis://", "memcached://cache"])
def test_what_is_no_address_of_a_shared_cache_is_refused(monkeypatch, tmp_path, url) -> None:
    (tmp_path / "key").write_text("k" * 32)
    monkeypatch.setenv("REMORA_CACHE_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("REMORA_CACHE_URL", url)

    with pytest.raises(ConfigError, match="redis://, rediss:// or unix://"):
        read_settings()


@pytest.mark.parametrize("port", ["none", "0", "99999"])
def test_a_port_of_a_shared_cache_that_is_none_is_refused(monkeypatch, tmp_path, port) -> None:
    (tmp_path / "key").write_text("k" * 32)
    monkeypatch.setenv("REMORA_CACHE_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("REMORA_CACHE_URL", f"redis://:tell-nobody@cache:{port}")

    with pytest.raises(ConfigError, match=r"[Pp]ort") as raised:
        read_settings()
    assert "tell-nobody" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
        (" localhost:0 ", ("localhost", 0)),
    ],
)
def test_an_address_is_read_and_written_alike(text, address) -> None:
    assert parse_address(text) == address
    assert format_address(address) == text.strip()


@pytest.mark.parametrize("text", ["::1:80", "host", "host:", ":80", "a b:80", "h:80:90", "h:-1"])
def test_what_is_no_address_is_refused(text) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        parse_address(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("10.0.0.1", False), ("::", False), ("example.com", False)],
)  # fmt: skip
def test_loopback_is_known_by_its_address(host, loopback) -> None:
    assert is_loopback(host) is loopback

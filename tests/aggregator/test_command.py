"""`remora aggregator` as a process."""

import os
import subprocess

import pytest

from remora.client.records import RecordClient
from remora.client.target import AggregatorTarget
from remora.errors import Unavailable
from remora.testing.server_process import ServerProcess, part_command


def _environment(tmp_path, **settings):
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        **{f"REMORA_AGGREGATOR_{name.upper()}": str(value) for name, value in settings.items()},
    }


def _run(tmp_path, *arguments, **settings):
    return subprocess.run(
        part_command("aggregator", *arguments),
        env=_environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        timeout=30,
    )


def _started(tmp_path, **settings):
    used = {"listen": "127.0.0.1:0", **settings}
    command = part_command("aggregator", "--ready-json")
    log = tmp_path / "aggregator.log"
    return ServerProcess("aggregator", command, _environment(tmp_path, **used), log)


def test_it_serves_stops_when_told_and_says_no_more_than_needed(tmp_path):
    with _started(tmp_path) as server:
        with RecordClient(AggregatorTarget(server.ready["address"])) as client:
            assert list(client.query()) == []
        assert server.stop() == 0
    assert (tmp_path / "aggregator.log").read_text() == ""


def test_health_tells_a_serving_aggregator_from_none(tmp_path):
    with _started(tmp_path) as server:
        well = _run(tmp_path, "health", "--address", server.ready["address"])
    gone = _run(tmp_path, "health", "--address", server.ready["address"])
    assert (well.returncode, gone.returncode) == (0, 1)
    assert "no healthy aggregator" in gone.stderr


def test_a_second_one_on_the_same_data_is_refused(tmp_path):
    with _started(tmp_path, data_dir=tmp_path / "d"), pytest.raises(Unavailable, match="in use"):
        _started(tmp_path, data_dir=tmp_path / "d")


def test_a_port_in_use_is_refused(tmp_path):
    with _started(tmp_path, data_dir=tmp_path / "a") as server:
        listen = server.ready["address"]
        with pytest.raises(Unavailable, match="REMORA_AGGREGATOR_LISTEN"):
            _started(tmp_path, data_dir=tmp_path / "b", listen=listen)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"listen": "0.0.0.0:15090"}, "needs TLS"),
        ({"listen": "aggregator:15090", "token_file": "t"}, "needs TLS"),
        ({"listen": "nonsense"}, "host:port"),
        ({"tls_cert": "t"}, "both"),
        ({"token_file": "/nowhere"}, "can't be read"),
        ({"listen": "0.0.0.0:0", "token_file": "t", "tls_cert": "/no", "tls_key": "/no"}, "/no"),
    ],
    ids=["exposed", "no tls", "address", "half tls", "no token file", "no certificate"],
)
def test_what_is_set_wrong_is_said_and_exits_with_2(tmp_path, settings, said):
    (tmp_path / "t").write_text("a-token-that-is-long-enough team-a\n")
    settings = {
        name: tmp_path / value if value == "t" else value for name, value in settings.items()
    }
    ended = _run(tmp_path, **settings)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_all_problems_are_said_at_once(tmp_path):
    ended = _run(tmp_path, listen="nonsense", drain_s="-1")
    assert "REMORA_AGGREGATOR_LISTEN" in ended.stderr
    assert "REMORA_AGGREGATOR_DRAIN_S" in ended.stderr


def test_every_file_that_is_missing_is_named(tmp_path):
    ended = _run(tmp_path, token_file="/no/tokens", tls_cert="/no/cert", tls_key="/no/key")
    assert [name for name in ("tokens", "cert", "key") if f"/no/{name} can't" in ended.stderr] == [
        "tokens", "cert", "key",
    ]  # fmt: skip


def test_a_certificate_with_the_key_of_another_is_refused(tmp_path):
    for name in ("one", "two"):
        _run(tmp_path, "init", "--folder", str(tmp_path / name), "--host", "agg")
    ended = _run(
        tmp_path,
        listen="127.0.0.1:0",
        tls_cert=tmp_path / "one" / "server" / "cert.pem",
        tls_key=tmp_path / "two" / "server" / "key.pem",
    )
    assert ended.returncode == 2
    assert "REMORA_AGGREGATOR_TLS_CERT" in ended.stderr
    assert "MISMATCH" in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--host", "é.example"], ["--host", "agg", "--namespace", "two words"], ["--host", ""]],
    ids=["not ascii", "namespace", "empty"],
)
def test_init_refuses_what_no_certificate_or_token_line_can_hold(tmp_path, arguments):
    ended = _run(tmp_path, "init", "--folder", str(tmp_path / "serving"), *arguments)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "serving").exists()


def test_what_init_makes_serves_beyond_loopback(tmp_path):
    folder = tmp_path / "serving"
    made = _run(tmp_path, "init", "--folder", str(folder), "--host", "127.0.0.1", "--host", "agg")
    assert made.returncode == 0
    assert (folder / "server" / "key.pem").stat().st_mode & 0o777 == 0o600
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = _run(tmp_path, "init", "--folder", str(folder), "--host", "127.0.0.1")
    assert "already there" in again.stderr
    assert {path: path.read_bytes() for path in before} == before
    server = folder / "server"
    with _started(
        tmp_path,
        listen="0.0.0.0:0",
        tls_cert=server / "cert.pem",
        tls_key=server / "key.pem",
        token_file=server / "tokens",
    ) as running:
        port = running.ready["address"].rpartition(":")[2]
        client = folder / "client"
        target = AggregatorTarget(f"127.0.0.1:{port}", client / "token", client / "ca.pem")
        with RecordClient(target) as records:
            assert list(records.query()) == []


def test_half_of_the_files_is_refused(tmp_path):
    folder = tmp_path / "serving"
    _run(tmp_path, "init", "--folder", str(folder), "--host", "agg")
    (folder / "client" / "token").unlink()
    ended = _run(tmp_path, "init", "--folder", str(folder), "--host", "agg")
    assert ended.returncode == 2
    assert "remove them first" in ended.stderr

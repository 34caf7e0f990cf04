"""A sidecar that is not on this machine: trust files are fetched, containers told where it is."""

import pytest

from remora import compose_fragment, docker_args, pod_fragment
from remora.local_sidecar.addresses import read_addresses
from remora.local_sidecar.control import ControlClient, ControlRefused
from remora.tracker.trust_files import FILES, own_directory, trust_folder


@pytest.fixture
def control(stage):
    with ControlClient(read_addresses(stage.data_dir).control) as client:
        yield client


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_trust_files_that_can_not_be_read_are_fetched_once(control, stage, home, tmp_path):
    ca_pem = (stage.data_dir / "trust" / "ca.pem").read_text()
    folder = trust_folder(control, tmp_path / "elsewhere", ca_pem)
    assert folder.is_relative_to(home)
    for name in FILES:
        assert (folder / name).read_bytes() == (stage.data_dir / "trust" / name).read_bytes()
    with ControlClient("127.0.0.1:1") as nobody:
        assert trust_folder(nobody, tmp_path / "elsewhere", ca_pem) == folder


def test_without_a_home_they_are_kept_for_this_process(control, stage, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    ca_pem = (stage.data_dir / "trust" / "ca.pem").read_text()
    folder = trust_folder(control, tmp_path / "elsewhere", ca_pem)
    assert folder.is_relative_to(own_directory())
    assert (folder / FILES[0]).read_text() == ca_pem


def test_trust_files_of_another_ca_are_not_taken_for_this_ones(control, home, tmp_path):
    elsewhere = tmp_path / "trust"
    elsewhere.mkdir()
    for name in FILES:
        (elsewhere / name).write_text("of another sidecar")
    folder = trust_folder(control, elsewhere, "a CA")
    assert folder != elsewhere


def test_trust_files_that_lie_here_are_used_where_they_are(control, stage, home):
    told = stage.data_dir / "trust"
    assert trust_folder(control, told, (told / "ca.pem").read_text()) == told
    assert not home.exists()


def test_a_file_that_is_none_of_trust_is_refused(control):
    with pytest.raises(ControlRefused, match="no such trust file"):
        control.read("/v1/trust/admin-token")


def test_containers_take_the_session_that_a_block_gives(tracker):
    with tracker.track("in a container") as session:
        assert f"HTTPS_PROXY={session.active.proxy_url}" in docker_args(session)
        assert session.session_id in compose_fragment(session)
        assert session.session_id in pod_fragment(session)

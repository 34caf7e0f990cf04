"""The configuration of injection in a file: in force as it is, or as it was last good."""

import logging
from pathlib import Path

import pytest

from remora.errors import ConfigError
from remora_operator.inject import InjectionConfig
from remora_operator.injection_file import LOOK_S, InjectionFile


class _Looks:
    """Sleeps no time at all, so often as a test wants looks."""

    class Over(Exception):
        pass

    def __init__(self, looks: int) -> None:
        self.left = looks

    async def __call__(self, seconds: float) -> None:
        assert seconds == LOOK_S
        if not self.left:
            raise self.Over
        self.left -= 1


async def _look(file: InjectionFile) -> None:
    with pytest.raises(_Looks.Over):
        await file.run(_Looks(1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "injection.yaml"
    path.write_text("sidecarUid: 2000\n")
    return path


async def test_without_a_file_the_defaults_stand_for_good():
    file = InjectionFile(None)
    await file.run()
    assert file.config == InjectionConfig()


async def test_a_changed_file_is_in_force_at_the_next_look(path):
    file = InjectionFile(path)
    assert file.config.sidecar_uid == 2000
    path.write_text("sidecarUid: 3000\n")
    await _look(file)
    assert (file.config.sidecar_uid, file.problems) == (3000, ())


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda path: path.write_text("sidecarUit: 1\n"), "sidecarUit", id="unknown"),
        pytest.param(lambda path: path.write_text("a: [\n"), "injection.yaml", id="no YAML"),
        pytest.param(lambda path: path.unlink(), "can't be read", id="gone"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe"), "it is no text", id="no text"),
    ],
)
async def test_what_cant_be_read_is_said_once_and_the_last_good_one_stays(
    path, spoil, said, caplog
):
    file = InjectionFile(path)
    good = path.read_text()
    spoil(path)
    await _look(file)
    await _look(file)
    assert file.config.sidecar_uid == 2000
    assert said in str(file.problems[0])
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1

    path.write_text(good)
    await _look(file)
    assert file.problems == ()


def test_an_operator_does_not_start_with_a_file_that_it_cant_read(tmp_path):
    with pytest.raises(ConfigError, match=r"REMORA_OPERATOR_CONFIG: .*can't be read: No such file"):
        InjectionFile(tmp_path / "none.yaml")

"""Images: this machine's own file system, with little added to it."""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Image:
    """What an image says, and what it has besides this machine's files.

    Attributes:
        entrypoint: What is run if the pod does not say.
        command: Its arguments, alike.
        environment: Its variables; the pod's win.
        user: Whom it runs as if the pod does not say.
        group: Alike.
        files: Contents by path; they can be written like any other.
        readable: Files and folders of this machine that every user may read, whatever is above
            them, and nobody write.
    """

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    user: int = 0
    group: int = 0
    files: Mapping[str, bytes] = field(default_factory=dict)
    readable: tuple[Path, ...] = ()


def remora_image(**environment: str) -> Image:
    """Make the image of this checkout: ``remora`` is what this Python has installed.

    Args:
        **environment: More variables of the image.
    """
    scripts = Path(sys.prefix) / "bin"
    variables = {
        "PATH": f"{scripts}:{_PATH}",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return Image(
        entrypoint=("remora",),
        command=("--help",),
        environment={**variables, **environment},
        user=1500,
        group=1500,
        readable=python_folders(),
    )


def python_folders() -> tuple[Path, ...]:
    """Return the folders that this Python and Remora's parts are run from."""
    folders = {Path(sys.base_prefix), Path(sys.prefix), *map(_folder_of, _packages())}
    inner = {one for one in folders for other in folders if one != other and other in one.parents}
    return tuple(sorted(folders - inner))


def _packages() -> set[str]:
    commands = {point.module.partition(".")[0] for point in entry_points(group="remora.commands")}
    return {"remora", "remora_proto"} | {c for c in commands if c.startswith("remora")}


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None  # noqa: S101 - installed with us
    assert spec.submodule_search_locations  # noqa: S101 - packages have places
    return Path(next(iter(spec.submodule_search_locations))).parent

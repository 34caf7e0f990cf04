"""Policy files on disk: the one place of this package that touches it."""

from pathlib import Path
from typing import NamedTuple

from remora.errors import ConfigError, Problem
from remora.policy.yaml_source import MAX_FILE_CHARACTERS

_SUFFIXES = (".yaml", ".yml")

_MAX_FILE_BYTES = 4 * MAX_FILE_CHARACTERS
"""What the longest readable text may take in UTF-8; more is not read into memory."""


class FileMark(NamedTuple):
    """What shows that a file was changed or replaced, without reading it."""

    file: str
    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


def look_at_policy_files(path: Path) -> tuple[FileMark, ...]:
    """Look at the files that `read_policy_files` reads; equal looks mean that nothing was written.

    Links are followed: files of a mounted ConfigMap lead through one that is replaced.

    Raises:
        ConfigError: Something can't be looked at, or the folder has no such file.
    """
    return tuple(_mark(file) for file in _policy_files(path))


def _mark(file: Path) -> FileMark:
    try:
        seen = file.stat()
    except OSError as error:
        raise ConfigError([Problem(str(file), _reason(error))]) from error
    return FileMark(
        str(file), seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
    )


def read_policy_files(path: Path) -> dict[str, str]:
    """Read a file, or every ``*.yaml`` and ``*.yml`` of a folder, in order of name.

    Folders below it and hidden files are passed over, as mounted ConfigMaps need.

    Returns:
        The texts by file name, as `remora.policy.document.load_documents` takes them.

    Raises:
        ConfigError: Something can't be read, or the folder has no such file.
    """
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for file in _policy_files(path):
        try:
            texts[str(file)] = _text(file, in_folder=file != path)
        except (OSError, ValueError) as error:
            problems.append(Problem(str(file), _reason(error)))
    if problems:
        raise ConfigError(problems)
    return texts


def _policy_files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if _is_policy(file))
    except OSError as error:
        raise ConfigError([Problem(str(path), _reason(error))]) from error
    if not files:
        raise ConfigError([Problem(str(path), "the folder has no *.yaml or *.yml file")])
    return files


def _is_policy(file: Path) -> bool:
    return file.suffix in _SUFFIXES and not file.name.startswith(".") and not file.is_dir()


def _text(file: Path, *, in_folder: bool) -> str:
    # A pipe that the user names (process substitution) ends; one that lies about may never.
    if in_folder and file.exists() and not file.is_file():
        raise ValueError("is not a regular file")
    with file.open("rb") as stream:
        content = stream.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise ValueError(f"larger than {_MAX_FILE_BYTES} bytes")
    return content.decode("utf-8")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"can't be read: {error.strerror or type(error).__name__}"
    return "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)

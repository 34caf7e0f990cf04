"""The clients of the trust matrix: how each is run, and what what it says means."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "clients"

TRUSTED, UNTRUSTED, KNOWN_ROOT = "trusted", "untrusted", "root known"
"""`KNOWN_ROOT`: the issuer is one of the client's roots, and the signature is not its."""

_REACHED = re.compile(r"ok$|404|not found", re.IGNORECASE)
_FORGED = re.compile(r"signature.failure|BadSignature", re.IGNORECASE)
_UNTRUSTED = re.compile(
    r"certificat|issuer|PKIX|trust|CERTIFICATE_VERIFY_FAILED|SSL_ERROR_SSL", re.IGNORECASE
)


def meaning(said: str) -> str:
    """Say what a client's words about a host mean; the words themselves if nobody knows."""
    for verdict, words in ((UNTRUSTED, _UNTRUSTED), (TRUSTED, _REACHED)):
        if words.search(said):
            return KNOWN_ROOT if verdict is UNTRUSTED and _FORGED.search(said) else verdict
    return said


@dataclass(frozen=True)
class Program:
    """A program that asks hosts, and what has to be there for it.

    Attributes:
        clients: Whose verdicts it gives: itself, or the libraries that it names in its lines.
        argv: How it is run; hosts follow.
        variables: More variables.
        readable: Folders that it is run from.
    """

    clients: tuple[str, ...]
    argv: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    readable: tuple[Path, ...] = ()

    def verdicts(self, output: str) -> dict[tuple[str, str], str]:
        """Read what it printed: verdicts by client and host."""
        found = {}
        for line in output.splitlines():
            who, colon, said = line.partition(": ")
            words = who.split()
            if colon and 1 <= len(words) <= 2:
                client = words[0] if len(words) == 2 else self.clients[0]
                found[client, words[-1]] = meaning(said)
        return found


PYTHON_LIBRARIES = ("urllib", "requests", "httpx", "aiohttp", "openai", "boto3", "grpcio")


def _command(name: str, **variables: str) -> Program:
    return Program((name,), ("sh", str(FOLDER / "command.sh"), name), variables)


def system_programs(classes: Path) -> list[Program | str]:
    """Return the programs that Debian brings, or which is not installed.

    Args:
        classes: Where the Java class is compiled to.
    """
    python = (sys.executable, "-P", str(FOLDER / "client.py"))
    made: dict[str, Program] = {
        **{name: _command(name) for name in ("curl", "wget", "git", "openssl")},
        "node": Program(("node",), ("node", str(FOLDER / "client.cjs"))),
        "javac": Program(("java",), ("java", "-cp", str(classes), "Asking"), readable=(classes,)),
    }
    found: list[Program | str] = [Program(PYTHON_LIBRARIES, python)]
    for name, program in made.items():
        found.append(program if shutil.which(name) else f"{name} is not installed")
    classes.chmod(0o755)
    if shutil.which("javac"):
        compiling = ["javac", "-d", str(classes), str(FOLDER / "Asking.java")]
        subprocess.run(compiling, check=True, capture_output=True, timeout=110)
    return found


def npm_programs(folder: Path) -> list[Program | str]:
    """Return Deno and Bun, which npm installs into a folder, or why there are none."""
    if shutil.which("npm") is None:
        return ["npm is not installed (Debian package npm)"]
    package = (FOLDER / "package.json").read_bytes()
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
    if reason := _installed(folder, package, command):
        return [reason]
    script = str(FOLDER / "fetching.mjs")
    deno, bun = _binary(folder, "deno"), _binary(folder, "bun")
    cache = {"DENO_DIR": "/tmp/deno", "DENO_NO_UPDATE_CHECK": "1"}  # noqa: S108 - the container's
    return [
        Program(
            ("deno",), (str(deno), "run", "--allow-net", "--no-config", script), cache, (folder,)
        ),
        Program(("bun",), (str(bun), "run", script), {}, (folder,)),
    ]


def _binary(folder: Path, name: str) -> Path:
    """Find a program itself: where it is depends on whether npm runs packages' scripts."""
    places = (path for path in folder.glob(f"node_modules/**/{name}*") if path.is_file())
    found = max(places, key=lambda path: (path.stat().st_size, -len(path.name)))
    found.chmod(0o755)
    return found


def pip_programs(folder: Path) -> list[Program | str]:
    """Return uv, which pip installs into a folder, or why there is none."""
    wanted = "uv>=0.8,<0.14"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", ".", "--upgrade"]
    if reason := _installed(folder, wanted.encode(), [*command, wanted]):
        return [reason]
    uv = _command("uv", UV=str(folder / "bin" / "uv"), PYTHON=sys.executable)
    return [Program(uv.clients, uv.argv, uv.variables, (folder,))]


def _installed(folder: Path, wanted: bytes, command: Sequence[str]) -> str:
    """Have something installed in a folder, once for all sessions; says why it can't be."""
    done = folder / "installed"
    if done.exists() and done.read_bytes() == wanted:
        return ""
    if command[0] == "npm":
        (folder / "package.json").write_bytes(wanted)
    try:
        subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=90)
    except (subprocess.SubprocessError, OSError) as error:
        return f"{command[0]} could not install {wanted.decode()}: {error}"
    done.write_bytes(wanted)
    return ""

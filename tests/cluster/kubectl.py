"""kubectl, as a person would use it: the one thing that this suite needs of a cluster."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

type Json = Mapping[str, Any]

PATIENCE_S = 300.0
"""How long a real cluster may take to pull an image and start a pod."""


class KubectlError(AssertionError):
    """A command failed; the text is what kubectl said."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Commands in one namespace; without one, in those that objects name."""

    namespace: str = ""

    def run(self, *arguments: str, stdin: str | None = None, within_s: float = 120) -> str:
        """Run a command; returns what it printed.

        Raises:
            KubectlError: It failed.
        """
        done = self.tried(*arguments, stdin=stdin, within_s=within_s)
        if done.returncode:
            said = f"{done.stdout}{done.stderr}"
            raise KubectlError(f"kubectl {' '.join(arguments[:6])} …: {said[-4000:]}")
        return done.stdout

    def tried(
        self, *arguments: str, stdin: str | None = None, within_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        where = ["-n", self.namespace] if self.namespace else []
        return subprocess.run(
            ["kubectl", *where, *arguments],
            input=stdin, capture_output=True, text=True, timeout=within_s, check=False,
        )  # fmt: skip

    def apply(self, *objects: Json, dry_run: bool = False) -> str:
        """Apply objects; a dry run asks the server, webhooks included, and stores nothing."""
        flags = ["--dry-run=server"] if dry_run else []
        return self.run("apply", *flags, "-f", "-", stdin=_list(objects))

    def create(self, *objects: Json) -> subprocess.CompletedProcess[str]:
        """Create objects; whoever calls looks at what came of it."""
        return self.tried("create", "-f", "-", stdin=_list(objects))

    def delete(self, *objects: Json) -> None:
        """Delete objects, and wait until they are gone."""
        self.run(
            "delete", "--ignore-not-found", "--timeout=180s", "-f", "-",
            stdin=_list(objects), within_s=200,
        )  # fmt: skip

    def get(self, kind: str, *arguments: str) -> Any:
        """Get an object or a list of them."""
        return json.loads(self.run("get", kind, *arguments, "-o", "json"))

    def exec(self, pod: str, *command: str, container: str | None = None) -> str:
        """Run a command in a pod; returns what it printed."""
        chosen = [] if container is None else ["-c", container]
        return self.run("exec", pod, *chosen, "--", *command)

    def wait_ready(self, pod: str) -> None:
        """Wait until a pod is ready."""
        self.run("wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={PATIENCE_S:.0f}s",
                 within_s=PATIENCE_S + 10)  # fmt: skip

    def wait_complete(self, job: str) -> None:
        """Wait until a Job has completed."""
        self.run("wait", "--for=condition=Complete", f"job/{job}", f"--timeout={PATIENCE_S:.0f}s",
                 within_s=PATIENCE_S + 10)  # fmt: skip

    def rolled_out(self, workload: str) -> None:
        """Wait until a Deployment or StatefulSet has rolled out."""
        self.run("rollout", "status", workload, f"--timeout={PATIENCE_S:.0f}s",
                 within_s=PATIENCE_S + 10)  # fmt: skip


def until[T](ask: Callable[[], T], what: str, within_s: float = PATIENCE_S) -> T:
    """Ask again and again until the answer is true; returns it.

    Raises:
        AssertionError: It never was; with the last answer.
    """
    deadline = time.monotonic() + within_s
    while True:
        found = ask()
        if found:
            return found
        assert time.monotonic() < deadline, f"after {within_s:.0f} s not so: {what} ({found!r})"
        time.sleep(0.5)


def applied_folder(folder: Path, *, within_s: float = 180) -> None:
    """Apply a kustomization."""
    Kubectl().run("apply", "-k", str(folder), within_s=within_s)


def _list(objects: Sequence[Json]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})

"""The demo's story: an agent runs, its calls appear as they are recorded, the bill comes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from remora.cli.usage_tables import usage_table
from remora.client.filter import RecordFilter
from remora.client.records import RecordClient, RecordWatch
from remora.client.target import AggregatorTarget
from remora.client.usage import UsageDimension
from remora.errors import RemoraError, Unavailable
from remora.local_sidecar.control import ControlClient
from remora.trust import TRUST_VARIABLES, agent_environment
from remora_sidecar.commands.demo_report import call_line, closing, heading
from remora_sidecar.commands.demo_servers import DemoServers, demo_servers
from remora_sidecar.commands.run import shell_code

_AGENT_LIMIT_S = 120.0
_RECORDS_WAIT_S = 15.0


def play(environment: Mapping[str, str]) -> int:
    """Play the demo; returns the agent's exit code.

    Args:
        environment: What the agent and the servers inherit.

    Raises:
        Unavailable: A server did not start, or stopped answering.
    """
    console = Console(highlight=False)
    neutral = _neutral(environment)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="remora-demo-")))
        with console.status("Starting an aggregator, a provider double and a sidecar …"):
            servers = stack.enter_context(demo_servers(folder, neutral))
        code = _follow_agent(console, servers, neutral)
    console.print("Everything that was started has stopped; nothing is left behind.")
    return code


def _follow_agent(console: Console, servers: DemoServers, environment: Mapping[str, str]) -> int:
    with (
        RecordClient(AggregatorTarget(servers.aggregator)) as records,
        ControlClient(servers.control) as control,
    ):
        session = control.open_session({"agent_id": "demo"})
        session_id = str(session["session_id"])
        wanted = RecordFilter(session_id=session_id)
        proxy_url = str(session["proxy_url"])
        plan = agent_environment(servers.trust_dir, proxy_url, environment)
        console.print(
            "An agent with the official [bold]openai[/] SDK calls [bold]https://api.openai.com[/]. "
            "It knows nothing of Remora; the sidecar intercepts, carries and records its calls. "
            "A provider double answers: no key, no network.\n"
        )
        console.print(heading())
        started = time.monotonic()
        follower = _Follower(console, records.watch(wanted))
        code = _run_agent(console, {**environment, **plan.added})
        follower.wait_for(lambda: _calls(control, session_id))
        wall_s = time.monotonic() - started
        rows = records.usage(wanted)
        console.print()
        console.print(usage_table(rows, [UsageDimension.MODEL]))
        console.print(closing(rows, wall_s, _own_command()))
        if code != 0:
            console.print(f"[red]The agent failed (exit code {code}); what it said is above.[/]")
    return code


def _own_command() -> str:
    """How the command is called from here: `make demo` leaves it in an environment of its own."""
    own = Path(sys.argv[0])
    if own.name != "remora" or shutil.which("remora") == str(own):
        return "remora"
    return os.path.relpath(own)


def _neutral(environment: Mapping[str, str]) -> dict[str, str]:
    """The demo plays alike everywhere: without its caller's proxies, roots and keys."""
    return {
        name: value
        for name, value in environment.items()
        if not name.lower().endswith("_proxy")
        and not name.startswith("OPENAI_")
        and name not in TRUST_VARIABLES
    }


def _run_agent(console: Console, environment: Mapping[str, str]) -> int:
    """Run the agent, showing what it says; returns its exit code as a shell would."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "remora.testing.agent"],
        env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    ) as agent:  # fmt: skip
        limit = threading.Timer(_AGENT_LIMIT_S, agent.kill)
        limit.start()
        try:
            assert agent.stdout is not None  # noqa: S101 - a pipe was asked for
            for line in agent.stdout:
                console.print(f"[dim]{escape(line.rstrip())}[/]")
        finally:
            limit.cancel()
            agent.terminate()
    if agent.returncode == -signal.SIGINT:  # Ctrl-C is for all of a terminal's processes
        raise KeyboardInterrupt
    return shell_code(agent.returncode)


def _calls(control: ControlClient, session_id: str) -> int:
    """Count the session's calls; -1 while one is still carried."""
    session = control.read_session(session_id)
    if session["in_flight"]:
        return -1
    return sum(totals["calls"] for totals in session["models"].values())


class _Follower:
    """Prints records as the aggregator commits them."""

    def __init__(self, console: Console, watch: RecordWatch) -> None:
        """Start to follow."""
        self._console = console
        self._watch = watch
        self._shown = 0
        self._failure: RemoraError | None = None
        self._thread = threading.Thread(target=self._print_all, name="follow records", daemon=True)
        self._thread.start()

    def _print_all(self) -> None:
        try:
            for stored in self._watch:
                self._console.print(call_line(stored.record))
                self._shown += 1
        except RemoraError as error:
            self._failure = error

    def wait_for(self, calls: Callable[[], int]) -> None:
        """Wait until as many records were shown as there were calls, then stop following.

        Raises:
            Unavailable: They did not come.
        """
        deadline = time.monotonic() + _RECORDS_WAIT_S
        while self._shown != (expected := calls()):
            if self._failure is not None:
                raise self._failure
            if time.monotonic() > deadline:
                raise Unavailable(f"only {self._shown} of {expected} calls were recorded")
            time.sleep(0.02)
        self._watch.close()
        self._thread.join()

"""`remora run -- CMD`: run a program with its LLM calls intercepted, and sum them up."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remora.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from remora.local_sidecar.control import ControlClient

_SETTLE_S = 2.0

_NO_CACHE = (
    "remora: --cache has no effect: the sidecar that runs, or its policy, has no cache. "
    "Wait until it has ended, or say `cache: {mode: readwrite}` in the policy."
)


@click.command(name="run", context_settings={"ignore_unknown_options": True})
@click.option("--no-summary", is_flag=True, help="Say nothing at the end.")
@click.option(
    "--cache", is_flag=True, help="Answer calls that were made before from the local cache."
)
@click.option("--data-id", default="", help="Which datapoint or user task the calls belong to.")
@click.option("--combo-id", default="", help="Which combination of models the calls belong to.")
@click.option("--agent-id", default="", help="Which agent role makes the calls.")
@click.option("--task", "task_id", default="", help="Which task the calls belong to.")
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
def command(
    *,
    no_summary: bool,
    cache: bool,
    data_id: str,
    combo_id: str,
    agent_id: str,
    task_id: str,
    program: tuple[str, ...],
) -> None:
    """Run CMD with its LLM calls intercepted; exits with CMD's exit code.

    A sidecar is started for it, or the one that already runs is used. Variables that CMD's
    environment sets already are left as they are, and named.
    """
    fields = {"data_id": data_id, "combo_id": combo_id, "agent_id": agent_id, "task_id": task_id}
    try:
        given = {name: value for name, value in fields.items() if value}
        sys.exit(_run(program, given, no_summary=no_summary, cache=cache))
    except ConfigError as error:
        _fail("remora run can't start", "\n".join(f"  {problem}" for problem in error.problems))
    except Unavailable as error:
        _fail("remora run can't start", f"  {error}")


def _fail(what: str, why: str) -> None:
    click.echo(f"{what}:\n{why}", err=True)
    sys.exit(2)


def _run(program: tuple[str, ...], fields: dict[str, str], *, no_summary: bool, cache: bool) -> int:
    from remora.ids import DEFAULT_SESSION_ID
    from remora.local_sidecar.addresses import GATEWAY_VARIABLE
    from remora.local_sidecar.control import ControlClient
    from remora.local_sidecar.finding import current_environment, find_or_start
    from remora.trust import agent_environment
    from remora_sidecar.commands.run_summary import call_count, print_summary
    from remora_sidecar.settings import read_settings

    environment = current_environment()
    data_dir = read_settings().data_dir
    preset = "tracker-cached" if cache else "tracker"
    addresses, _ = find_or_start(environment, data_dir, preset=preset)
    with ControlClient(addresses.control) as control:
        if cache and not control.has_cache():
            click.echo(_NO_CACHE, err=True)
        session = control.open_session(fields)
        session_id = str(session["session_id"])
        control.hold(f"/v1/sessions/{session_id}/hold")
        plan = agent_environment(Path(addresses.trust_dir), str(session["proxy_url"]), environment)
        _report_kept(plan.kept)
        strangers = call_count(control.read_session(DEFAULT_SESSION_ID))
        started = time.monotonic()
        gateway = {GATEWAY_VARIABLE: control.url}  # for trackers in the program
        exit_code = run_program(program, {**gateway, **environment, **plan.added})
        if not no_summary:
            wall_s = time.monotonic() - started
            session = _settled(control, session_id)
            strangers = call_count(control.read_session(DEFAULT_SESSION_ID)) - strangers
            print_summary(session, wall_s, strangers)
    return exit_code


def _report_kept(kept: Sequence[tuple[str, str]]) -> None:
    """Say once for each consequence which variables were left as the caller set them."""
    names: dict[str, list[str]] = {}
    for name, reason in kept:
        names.setdefault(reason, []).append(name)
    for reason, which in names.items():
        are = "is" if len(which) == 1 else "are"
        text = f"remora: {', '.join(which)} {are} set already and left alone: {reason}"
        click.echo(text, err=True)


def run_program(program: tuple[str, ...], environment: Mapping[str, str]) -> int:
    """Run a program to its end, passing on signals; 127 or 126 if it can't be run."""
    try:
        child = subprocess.Popen(program, env=environment)  # noqa: S603 - the user's own command
    except FileNotFoundError:
        click.echo(f"remora run: {program[0]}: no such program", err=True)
        return 127
    except OSError as error:
        click.echo(f"remora run: {program[0]}: {error.strerror}", err=True)
        return 126
    with _signals_passed_to(child):
        code = child.wait()
    return shell_code(code)


def shell_code(returncode: int) -> int:
    """Give a program's exit code as a shell would: 128 and the signal for one that died of it."""
    return returncode if returncode >= 0 else 128 - returncode


@contextmanager
def _signals_passed_to(child: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Ctrl-C reaches the child by the terminal; SIGTERM and SIGHUP are passed on."""
    previous = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number)),
        signal.SIGHUP: signal.signal(signal.SIGHUP, lambda number, _: child.send_signal(number)),
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _settled(control: "ControlClient", session_id: str) -> dict[str, object]:
    """Read the totals once the last calls of the ended program are recorded."""
    deadline = time.monotonic() + _SETTLE_S
    session = control.read_session(session_id)
    while session["in_flight"] and time.monotonic() < deadline:
        time.sleep(0.05)
        session = control.read_session(session_id)
    return session

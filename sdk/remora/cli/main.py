"""The command `remora`: finds each part's commands and loads the one that is asked for.

Every part registers its commands in the entry-point group ``remora.commands``; nothing of a
part is imported before one of its commands is run or described.
"""

import sys
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Never

import click

from remora import __version__
from remora.errors import BadRequest, ConfigError, RemoraError, Unavailable
from remora.extras import missing_packages

GROUP = "remora.commands"

EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

SUMMARIES = {
    "demo": "Watch a small agent's calls being intercepted, recorded and priced.",
    "run": "Run a program with its LLM calls intercepted.",
    "records": "List recorded calls, or follow them.",
    "usage": "Sum up calls, tokens, cost, and what the cache saved.",
    "tasks": "List tasks, show one, pause, resume or cancel it.",
    "signal": "Say what became of answers, and list what was said.",
    "scores": "Show how well models do for each goal; steer router versions.",
    "top": "Watch what is going on: calls, cost, latency, tasks.",
    "explain": "Explain why a recorded call went where it went.",
    "policy": "Check policy files, show which policy applies, explain what it makes of a call.",
    "workflow": "Check workflow files, draw them, run them, list those that are there.",
    "sidecar": "Run a sidecar.",
    "gateway": "Run a gateway for trackers of Remora or AgentOpt, until told to stop.",
    "aggregator": "Run an aggregator.",
    "netinit": "Apply or remove the redirect rules of a pod.",
    "inject": "Add the sidecar to Kubernetes manifests.",
    "operator": "Run a cluster's operator.",
    "ca": "Show a cluster's CA, or replace its root.",
    "doctor": "Say why a pod was injected, or was not.",
}
"""Said by ``--help``, which imports no part; a test compares them with the commands."""

EXTRAS = {
    "remora_sidecar": "sidecar",
    "remora_aggregator": "aggregator",
    "remora_operator": "operator",
}
"""Which extra brings a part."""

OWN_EXTRAS = {"netinit": "", "demo": "sidecar,aggregator,demo", "workflow": "workflows"}
"""Commands that need less than their part's extra, or more."""


class Commands(click.Group):
    """The commands that are registered, loaded one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command, in the order in which people meet them."""
        del ctx
        known = {entry.name for entry in _entries()}
        first = [name for name in SUMMARIES if name in known]
        return first + sorted(known.difference(first))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None if there is no such one."""
        entry = next((entry for entry in _entries() if entry.name == cmd_name), None)
        if entry is None:
            return None
        try:
            command: click.Command = entry.load()
        except ModuleNotFoundError as error:
            _fail(ctx, cmd_name, _missing(entry, error))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what is known of them, without loading any."""
        entries = {entry.name: entry for entry in _entries()}
        rows = [(name, _summary(entries[name])) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, which imports its part only now; say so if the part is missing."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            entry = next((e for e in _entries() if e.name == ctx.invoked_subcommand), None)
            if entry is None:
                raise
            _fail(ctx, entry.name, _missing(entry, error))


def _entries() -> Iterable[EntryPoint]:
    return entry_points(group=GROUP)


def _extra(entry: EntryPoint) -> str:
    """Return the extras that a command needs; empty: none of ours, or none at all."""
    own = OWN_EXTRAS.get(entry.name)
    return EXTRAS.get(entry.module.partition(".")[0], "") if own is None else own


def _summary(entry: EntryPoint) -> str:
    summary, extra = SUMMARIES.get(entry.name, ""), _extra(entry)
    if any(missing_packages(name) for name in extra.split(",")):
        return f"{summary} (not installed: pip install 'remora[{extra}]')"
    return summary


def _missing(entry: EntryPoint, error: ModuleNotFoundError) -> str:
    """Say which extra brings what is missing.

    Raises:
        ModuleNotFoundError: It is a module of ours that should be there: a bug.
    """
    extra = _extra(entry)
    if not extra or (error.name or "").startswith("remora"):
        raise error
    return f"needs {error.name}, which is not installed: pip install 'remora[{extra}]'"


def _fail(ctx: click.Context, command: str, what: str) -> Never:
    click.echo(f"remora {command}: {what}", err=True)
    ctx.exit(EXIT_USAGE)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="remora")
def cli() -> None:
    """See, price and record what AI agents call.

    Exit codes: 0 done; 1 failed; 2 wrong options or settings; 3 an aggregator or sidecar that
    does not answer; 130 interrupted. `remora run` exits with its program's own code.
    """


def main(arguments: list[str] | None = None) -> Never:
    """Run the command line and exit."""
    from remora.grpc_noise import silence_grpc

    silence_grpc()
    sys.exit(_guarded(lambda: cli.main(arguments, prog_name="remora", standalone_mode=False)))


def _guarded(run: Callable[[], Any]) -> int:
    """Run, and turn what escapes into a message and an exit code."""
    try:
        code = run()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except RemoraError as error:
        click.echo(f"remora: {error}", err=True)
        return _code_of(error)


def _code_of(error: RemoraError) -> int:
    if isinstance(error, (ConfigError, BadRequest)):
        return EXIT_USAGE
    return EXIT_UNAVAILABLE if isinstance(error, Unavailable) else EXIT_FAILED


def _reader_gone() -> int:
    """Whoever read our output has left, as `head` does: no reason to complain."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FAILED

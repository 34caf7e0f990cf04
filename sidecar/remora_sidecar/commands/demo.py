"""`remora demo`: one intercepted agent, from its first call to the bill, on loopback."""

import sys
from typing import NoReturn

import click

from remora.errors import RemoraError


@click.command(name="demo")
def command() -> None:
    """Watch a small agent's LLM calls being intercepted, recorded and priced.

    Starts an aggregator, a sidecar and a provider double on loopback, in a temporary
    folder; calls no real provider, needs no key, leaves nothing running.
    """
    try:
        import openai  # noqa: F401 - the demo's agent needs it
    except ImportError:
        _fail("the demo's agent uses the openai SDK: pip install 'remora[demo,sidecar,aggregator]'")
    from remora.local_sidecar.finding import current_environment
    from remora_sidecar.commands.demo_stage import play

    try:
        sys.exit(play(current_environment()))
    except RemoraError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    click.echo(f"remora demo: {message}", err=True)
    sys.exit(2)

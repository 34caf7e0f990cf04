"""`remora sidecar`: run one sidecar until told to stop."""

import asyncio
import gc
import sys
from typing import TYPE_CHECKING

import click

from remora.core_dumps import switch_off_core_dumps
from remora.errors import ConfigError
from remora.logs import configure_logs
from remora.stop import Stop
from remora.task_owner import TaskOwner

if TYPE_CHECKING:
    from remora_sidecar.assembly import Sidecar
    from remora_sidecar.settings import SidecarSettings


FIRST_HOLD_S = 30.0
"""A lingering sidecar that nobody came to stops after so long."""


@click.command(name="sidecar")
@click.option(
    "--ready-json", is_flag=True, help="Print one JSON line with the addresses when ready."
)
def command(ready_json: bool) -> None:
    """Run a sidecar. Everything is set by REMORA_* variables; docs/settings.md lists them."""
    import_parts()
    import uvloop

    from remora_sidecar.settings import read_settings

    switch_off_core_dumps()
    try:
        settings = read_settings()
        configure_logs(settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, ready_json))
    except ConfigError as error:
        click.echo(f"remora sidecar can't start:\n{_indented(error)}", err=True)
        sys.exit(2)


def import_parts() -> None:
    """Import all that a sidecar needs before it listens; nothing of it is garbage to look for."""
    gc.disable()
    try:
        import uvloop  # noqa: F401

        import remora_sidecar.assembly
        import remora_sidecar.settings  # noqa: F401
    finally:
        gc.enable()


def _indented(error: ConfigError) -> str:
    return "\n".join(f"  {problem}" for problem in error.problems)


async def _run(settings: "SidecarSettings", ready_json: bool) -> None:
    from remora_sidecar.assembly import running_sidecar

    stop = Stop()
    async with stop.heeded(), running_sidecar(settings) as sidecar:
        stop.ends_start = False
        gc.freeze()  # what is there by now stays: no collection has to go through it again
        _say_ready(sidecar, ready_json)
        if settings.linger_s is None:
            await stop.told.wait()
        else:
            await _stopped_or_left(stop.told, sidecar, settings.linger_s)


async def _stopped_or_left(stop: asyncio.Event, sidecar: "Sidecar", linger_s: float) -> None:
    gone = sidecar.holds.all_gone(first_within_s=FIRST_HOLD_S, linger_s=linger_s)
    tasks = TaskOwner("command")
    waits = [tasks.spawn(stop.wait(), name="stop"), tasks.spawn(gone, name="linger")]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await tasks.aclose()


def _say_ready(sidecar: "Sidecar", ready_json: bool) -> None:
    from remora_sidecar.settings import format_address

    addresses = sidecar.addresses
    if ready_json:
        click.echo(addresses.text())
        return
    listed = ", ".join(
        format_address(address)
        for mode in sidecar.interceptor.addresses.values()
        for address in mode
    )
    click.echo(f"remora sidecar ready ({sidecar.settings.mode}): {listed}", err=True)
    click.echo(f"  control {addresses.control}, status {addresses.status}", err=True)
    click.echo(f"  trust files for agents in {addresses.trust_dir}", err=True)

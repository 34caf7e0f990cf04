"""`remora operator`: run one replica until told to stop."""

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from remora.core_dumps import switch_off_core_dumps
from remora.errors import ConfigError
from remora.logs import configure_logs
from remora.stop import Stop

if TYPE_CHECKING:
    from remora_operator.settings import OperatorSettings


@click.command(name="operator")
def command() -> None:
    """Run the operator: inject sidecars, issue their certificates, deliver their policies.

    Everything is set by REMORA_OPERATOR_* variables; docs/settings.md lists them.
    """
    from remora_operator.settings import read_settings

    switch_off_core_dumps()
    try:
        settings = read_settings()
        configure_logs(settings.log_level)
        asyncio.run(_serve(settings))
    except ConfigError as error:
        problems = "\n".join(f"  {problem}" for problem in error.problems)
        click.echo(f"remora operator can't start:\n{problems}", err=True)
        sys.exit(2)


async def _serve(settings: "OperatorSettings") -> None:
    from remora_operator.server import running_operator

    stop = Stop()
    async with stop.heeded(), running_operator(settings) as operator:
        stop.ends_start = False
        addresses = f"webhook {operator.webhook_address}, sidecars {operator.grpc_address}"
        click.echo(f"remora operator ready: {addresses}", err=True)
        click.echo(f"  status {operator.status_address}", err=True)
        await stop.told.wait()

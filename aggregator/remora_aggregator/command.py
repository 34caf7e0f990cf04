"""`remora aggregator`: run one, make what it needs beyond loopback, ask whether it is well."""

import asyncio
import gc
import json
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remora.core_dumps import switch_off_core_dumps
from remora.errors import ConfigError
from remora.logs import configure_logs
from remora_aggregator.admin_command import audit, purge
from remora_aggregator.copies_command import backup, check, restore

if TYPE_CHECKING:
    from remora_aggregator.settings import AggregatorSettings

_HEALTH_TIMEOUT_S = 5.0
_HOST = re.compile(r"[A-Za-z0-9*][A-Za-z0-9_.-]{0,252}|[0-9A-Fa-f:.]+")
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@click.group(name="aggregator", invoke_without_command=True)
@click.option("--ready-json", is_flag=True, help="Print one JSON line with the address when ready.")
@click.pass_context
def command(context: click.Context, *, ready_json: bool) -> None:
    """Keep the records of calls and answer questions about them.

    Without a subcommand it serves, on loopback, until told to stop. Everything is set by
    REMORA_AGGREGATOR_* variables; docs/settings.md lists them.
    """
    if context.invoked_subcommand is not None:
        return
    from remora_aggregator.settings import read_settings

    switch_off_core_dumps()
    try:
        settings = read_settings()
        configure_logs(settings.log_level)
        asyncio.run(_serve(settings, ready_json))
    except ConfigError as error:
        _fail("remora aggregator can't start", error)


def _fail(what: str, error: ConfigError) -> None:
    problems = "\n".join(f"  {problem}" for problem in error.problems)
    click.echo(f"{what}:\n{problems}", err=True)
    sys.exit(2)


async def _serve(settings: "AggregatorSettings", ready_json: bool) -> None:
    from remora_aggregator.server import running_aggregator

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_aggregator(settings) as aggregator:
        gc.freeze()  # what is there by now stays: reports wait for whoever goes through it again
        if ready_json:
            ready = {
                "address": aggregator.address,
                "http_address": aggregator.http_address or None,
                "data_dir": str(settings.data_dir),
            }
            click.echo(json.dumps(ready))
        else:
            click.echo(f"remora aggregator ready: {aggregator.address}", err=True)
            if aggregator.http_address:
                click.echo(f"  HTTP at {aggregator.http_address}", err=True)
            click.echo(f"  records in {settings.place}", err=True)
        await stop.wait()


def _host(_context: click.Context, _option: click.Parameter, hosts: tuple[str, ...]) -> object:
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise click.BadParameter(f"{host!r} is no name or address")
    return hosts


def _namespace(_context: click.Context, _option: click.Parameter, namespace: str) -> str:
    if not _NAMESPACE.fullmatch(namespace):
        raise click.BadParameter(f"{namespace!r} is none: letters, digits, '-', '_' and '.'")
    return namespace


@command.command()
@click.option("--folder", required=True, type=click.Path(path_type=Path), help="Where they go.")
@click.option("--host", "hosts", multiple=True, required=True, callback=_host,
              help="A name or address of the aggregator; may be given again.")  # fmt: skip
@click.option("--namespace", default="local", show_default=True, callback=_namespace,
              help="Whose records the token reports and reads.")  # fmt: skip
@click.option("--owner", type=int, help="Uid and gid that the files are given to (needs root).")
def init(*, folder: Path, hosts: tuple[str, ...], namespace: str, owner: int | None) -> None:
    """Make a root, a serving certificate and a token, where they are missing."""
    from remora.clock import SystemClock
    from remora_aggregator.serving_files import make_serving_files

    try:
        made = make_serving_files(folder, hosts, namespace, owner=owner, clock=SystemClock())
    except ConfigError as error:
        _fail("remora aggregator init", error)
        return
    click.echo(f"{'made' if made else 'already there'}: {folder}", err=True)


@command.command()
@click.option("--address", help="host:port; default: REMORA_AGGREGATOR.")
def health(*, address: str | None) -> None:
    """Exit with 0 if the aggregator serves, else with 1."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from remora.client.settings import read_client_settings

    try:
        target = read_client_settings(address).target
        with target.channel() as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_S)
    except ConfigError as error:
        _fail("remora aggregator health", error)
        return
    except grpc.RpcError as error:
        click.echo(f"no healthy aggregator at {target.address}: {error.code().name}", err=True)
        sys.exit(1)
    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
    click.echo(f"{target.address}: {'serving' if serving else 'not serving'}", err=True)
    sys.exit(0 if serving else 1)


for subcommand in (backup, check, restore, purge, audit):
    command.add_command(subcommand)

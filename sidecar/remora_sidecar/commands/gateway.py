"""`remora gateway`: a sidecar for trackers elsewhere, in place of `agentopt serve`."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remora.core_dumps import switch_off_core_dumps
from remora.errors import BadRequest, ConfigError, Problem
from remora.logs import configure_logs
from remora.stop import Stop

if TYPE_CHECKING:
    from remora_sidecar.assembly import Sidecar
    from remora_sidecar.engine.named_routers import NamedRouters
    from remora_sidecar.gateway import Gateway
    from remora_sidecar.gateway_settings import GatewaySettings

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - told apart, not listened on


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says."""

    host: str
    port: int
    cache_dir: str
    allow_remote: bool
    allow_host: tuple[str, ...]
    routing_policy: str | None
    candidate_models: str | None
    seed: int | None
    policy_module: tuple[str, ...]

    @property
    def candidates(self) -> list[str]:
        """The models to draw from."""
        return [name.strip() for name in (self.candidate_models or "").split(",") if name.strip()]

    @property
    def names(self) -> frozenset[str]:
        """What other machines may call it by, besides the address that they reach."""
        names = (*self.allow_host, *(() if self.host in _EVERYWHERE else (self.host,)))
        return frozenset(name.lower().rstrip(".") for name in names)


@click.command(name="gateway")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", default=9000, show_default=True, type=click.IntRange(0, 65535), help="0: any."
)
@click.option(
    "--cache-dir",
    default=".remora_cache",
    show_default=True,
    help="Folder for answers, records and the CA.",
)
@click.option("--allow-remote", is_flag=True, help="Let other machines in: nobody is asked who.")
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="A name that other machines know it by."
)
@click.option(
    "--routing-policy", type=click.Choice(["random"]), help="Routes sessions that name no router."
)
@click.option("--candidate-models", metavar="A,B", help="The models that it draws from.")
@click.option("--seed", type=int, help="Makes it draw the same each time.")
@click.option(
    "--policy-module",
    multiple=True,
    metavar="PATH",
    help="Python file with routers, which sessions may name as STEM:CLASS.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def command(*, verbose: bool, **options: object) -> None:
    """Run a gateway for trackers of Remora or AgentOpt, until told to stop.

    docs/gateway.md says how programs find it and what it records.
    """
    from remora_sidecar.commands.sidecar import import_parts

    asked = Asked(**options)  # type: ignore[arg-type]  # click has converted them
    try:
        check(asked)
        import_parts()
        _serve(asked, verbose=verbose)
    except ConfigError as error:
        listed = "\n".join(f"  {problem}" for problem in error.problems)
        click.echo(f"remora gateway can't start:\n{listed}", err=True)
        sys.exit(2)


def check(asked: Asked) -> None:
    """Raise ConfigError if the options make no sense together, with every problem."""
    problems = [Problem("command line", text) for text in _problems(asked)]
    if problems:
        raise ConfigError(problems)


def _problems(asked: Asked) -> Iterator[str]:
    from remora_sidecar.settings import is_loopback

    if not asked.cache_dir.strip():
        yield "--cache-dir cannot be empty"
    if not (asked.allow_remote or is_loopback(asked.host)):
        yield (
            f"--host {asked.host} can be reached by other machines, and whoever reaches a gateway "
            "reads its records and sends calls through it: say --allow-remote if that is meant"
        )
    if asked.allow_host and not asked.allow_remote:
        yield "--allow-host requires --allow-remote"
    if asked.routing_policy is None:
        if asked.candidate_models is not None or asked.seed is not None:
            yield "--candidate-models and --seed require --routing-policy"
    elif not asked.candidates:
        yield f"--routing-policy {asked.routing_policy} requires --candidate-models a,b"


def _serve(asked: Asked, *, verbose: bool) -> None:
    import uvloop

    from remora_sidecar.gateway import Gateway
    from remora_sidecar.gateway_settings import read_gateway_settings

    switch_off_core_dumps()
    gateway = Gateway(
        routers=_routers(asked),
        hosts=asked.names if asked.allow_remote else None,
        takes_any_host=True,
    )
    folder = Path(asked.cache_dir).expanduser().resolve()
    settings = read_gateway_settings(asked.host, asked.port, folder)
    configure_logs("debug" if verbose else settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, gateway))


def _routers(asked: Asked) -> "NamedRouters":
    from remora_sidecar.engine.named_routers import NamedRouters, load_policy_modules

    routers = NamedRouters(modules=load_policy_modules(list(map(Path, asked.policy_module))))
    if asked.routing_policy is None:
        return routers
    try:
        kwargs = {"candidates": asked.candidates, "seed": asked.seed}
        default = routers.make(asked.routing_policy, kwargs)
    except BadRequest as error:
        raise ConfigError([Problem("--routing-policy", str(error))]) from error
    return NamedRouters(default, routers.modules)


async def _run(settings: "GatewaySettings", gateway: "Gateway") -> None:
    from remora_sidecar.assembly import running_sidecar

    stop = Stop()
    async with stop.heeded(), running_sidecar(settings, gateway=gateway) as sidecar:
        stop.ends_start = False
        gc.freeze()  # what is there by now stays: no collection has to go through it again
        _say_ready(sidecar)
        await stop.told.wait()


def _say_ready(sidecar: "Sidecar") -> None:
    """Print the variables that lead programs here, ready for a shell, and say the rest apart."""
    from remora_sidecar.settings import format_address

    host, port = sidecar.control
    names = sorted(sidecar.gateway.hosts or ())
    if host in _EVERYWHERE:
        host = names[0] if names else "::1" if ":" in host else "127.0.0.1"
    url = f"http://{format_address((host, port))}"
    click.echo(f"AGENTOPT_GATEWAY_URL={url}\nREMORA_GATEWAY_URL={url}")
    click.echo(f"remora gateway ready on {format_address(sidecar.control)}", err=True)
    click.echo(f"  answers, records and the CA in {sidecar.settings.data_dir}", err=True)
    click.echo(f"  probes and metrics on {format_address(sidecar.status)}", err=True)
    if sidecar.gateway.hosts is not None:
        named = ", ".join(names) or "none but its address: add others with --allow-host"
        click.echo(f"  open to other machines, under these names: {named}", err=True)

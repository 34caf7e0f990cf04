"""`python -m remora.testing.double_command`: the provider double as a process of its own."""

import asyncio
import json
import signal
from pathlib import Path

import click

from remora.testing.double import ProviderDouble
from remora.testing.double_brain import OpenAIBrain


@click.command()
@click.option("--listen", default="127.0.0.1:0", show_default=True, help="HOST:PORT; port 0: any.")
@click.option("--tls-name", "names", multiple=True, default=("api.openai.com",), show_default=True,
              help="Name in the TLS certificate; may be given again.")  # fmt: skip
@click.option("--ca-out", type=click.Path(path_type=Path), help="Write the root certificate here.")
@click.option("--first-token-delay", default=0.0, help="Seconds before an answer's first byte.")
@click.option("--token-delay", default=0.0, help="Seconds between the events of a stream.")
@click.option("--ready-json", is_flag=True, help="Print one JSON line when it listens.")
def main(
    *,
    listen: str,
    names: tuple[str, ...],
    ca_out: Path | None,
    first_token_delay: float,
    token_delay: float,
    ready_json: bool,
) -> None:
    """Answer like a provider, over TLS and plain HTTP on one port, until told to stop."""
    host, _, port = listen.rpartition(":")
    brain = OpenAIBrain(first_token_delay_s=first_token_delay, token_delay_s=token_delay)
    double = ProviderDouble(
        names=names, hosts=(host.strip("[]"),), port=int(port), brain=brain, keep_requests=False
    )
    asyncio.run(_serve(double, ca_out, ready_json))


async def _serve(double: ProviderDouble, ca_out: Path | None, ready_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with double:
        if ca_out is not None:
            await asyncio.to_thread(_write, ca_out, double.ca_pem)
        host, port = double.address
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        click.echo(json.dumps({"address": address}) if ready_json else f"listening on {address}")
        await stop.wait()


def _write(path: Path, text: str) -> None:
    """Write so that a reader who waits for the file never sees half of it."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)


if __name__ == "__main__":
    main()

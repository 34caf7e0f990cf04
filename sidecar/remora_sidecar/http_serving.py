"""The sidecar's own HTTP listeners: control and status."""

from contextlib import AsyncExitStack

from aiohttp import web

from remora.errors import ConfigError, Problem
from remora_sidecar.model.handoff import Address
from remora_sidecar.settings import format_address


async def serve_http(
    stack: AsyncExitStack, app: web.Application, address: Address, setting: str
) -> Address:
    """Serve an application until the stack unwinds; returns where.

    Args:
        stack: Ends it.
        app: The application.
        address: Where to listen; port 0 takes one that is free.
        setting: What names the address, for the person who must change it.

    Raises:
        ConfigError: The address can't be listened on.
    """
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, handler_cancellation=True, shutdown_timeout=1.0
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, *address)
    try:
        await site.start()
    except OSError as error:
        what = f"{format_address(address)} can't be listened on: {error.strerror or error}"
        raise ConfigError([Problem(setting, what)]) from error
    bound: Address = runner.addresses[0][:2]
    return bound

"""Routers that others wrote, found by their names in the entry-point group ``remora.routers``.

What a plugin does wrong is its own affair: the call goes on as it was, and the record says why.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from remora.routing import ENTRY_POINTS, Router
from remora_sidecar.engine.route_context import route_context
from remora_sidecar.engine.situation import Situation


class RouterPluginError(Exception):
    """A plugin that is not there or answered with what is no model."""


class RouterPlugins:
    """The plugins of this installation; each is made when it is first asked."""

    def __init__(self, found: Mapping[str, EntryPoint] | None = None) -> None:
        """Take the entry points by name; None: those that are installed."""
        self._found = found
        self._routers: dict[str, Router] = {}

    def ask(self, name: str, situation: Situation) -> str | None:
        """Ask a router for a model; None if it leaves the call alone.

        Raises:
            RouterPluginError: There is no such plugin, or it named no model.
            Exception: Whatever the plugin raises.
        """
        situation.session.keep_history()
        model: object = self._router(name).route(route_context(situation))
        if model is None or (isinstance(model, str) and model):
            return model
        raise RouterPluginError(f"router {name!r} answered with {type(model).__name__}")

    def _router(self, name: str) -> Router:
        router = self._routers.get(name)
        if router is None:
            router = self._routers[name] = self._made(name)
        return router

    def _made(self, name: str) -> Router:
        if self._found is None:
            self._found = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
        entry = self._found.get(name)
        if entry is None:
            raise RouterPluginError(f"no router {name!r} is installed")
        router: Router = entry.load()()
        return router

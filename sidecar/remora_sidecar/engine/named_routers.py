"""Routers that a session names: ours by an alias, others from files given at the start.

``{"policy": "random", "kwargs": {…}}`` comes over the wire. Nothing is ever imported because of
what stands in it: it is looked up among the classes of files that the sidecar's owner named. Such
a router runs on the event loop, in the path of the call; it should decide and not wait.
"""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Final, Protocol

from remora.errors import BadRequest, ConfigError, Problem
from remora.routers import RandomRouter
from remora.routing import RouteContext
from remora_sidecar.engine.session_router import LEFT_AS_IT_WAS, Advice, unrouted

_OURS: Final[Mapping[str, type]] = MappingProxyType({RandomRouter.POLICY_NAME: RandomRouter})
_MODULE_PREFIX: Final = "remora_policy_module_"
"""In `sys.modules`, so that a file called ``json.py`` stands in nobody's way."""


class Routes(Protocol):
    """What a router has to have; its class may be anybody's."""

    def route(self, ctx: RouteContext) -> object:
        """Name a model; None leaves the call as it is."""
        ...


class NamedRouter:
    """A router in this process, as calls ask it."""

    def __init__(self, router: Routes) -> None:
        """Take who decides."""
        self._router = router

    async def ask(self, context: RouteContext, *, has_body: bool = True) -> Advice:
        """Ask for a model; whatever goes wrong, the call goes on as it was."""
        if not has_body:
            context = replace(context, request_body=MappingProxyType({}))
        try:
            model = self._router.route(context)
        except Exception as error:  # noqa: BLE001 - a router is somebody else's code
            return unrouted(f"failed ({type(error).__name__})")
        if model is None:
            return LEFT_AS_IT_WAS
        if not isinstance(model, str) or not model:
            return unrouted("answered with what is no model")
        return Advice(model)

    def close(self, why: str) -> None:
        """Do nothing: it never keeps a call waiting."""


@dataclass(frozen=True, slots=True)
class NamedRouters:
    """The routers that sessions may name.

    Attributes:
        default: Routes sessions that say nothing; None leaves them unrouted.
        modules: What the files given at the start define, by the files' stems.
    """

    default: NamedRouter | None = None
    modules: Mapping[str, ModuleType] = field(default_factory=dict)

    def make(self, policy: str, kwargs: Mapping[str, Any]) -> NamedRouter:
        """Make a router of its name and arguments.

        Raises:
            BadRequest: There is no such router, or it can't be made of these arguments.
        """
        kind = _OURS.get(policy) or self._from_file(policy)
        try:
            return NamedRouter(kind(**kwargs))
        except Exception as error:  # a constructor is somebody else's code
            raise BadRequest(
                f"Routing policy {policy!r} can't be made of these kwargs: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _from_file(self, policy: str) -> type:
        stem, colon, name = policy.partition(":")
        module = self.modules.get(stem) if colon else None
        kind = vars(module).get(name) if module is not None else None
        if not isinstance(kind, type) or not callable(getattr(kind, "route", None)):
            raise BadRequest(
                f"Unknown routing policy {policy!r}: there are {self._known()}. Others come as "
                '"module:Class" from a file that the gateway was started with (--policy-module)'
            )
        return kind

    def _known(self) -> str:
        """List the names; a class that only came into a file by an import is left out."""
        found = [
            f"{stem}:{name}"
            for stem, module in self.modules.items()
            for name, kind in vars(module).items()
            if isinstance(kind, type) and kind.__module__ == module.__name__
            if callable(getattr(kind, "route", None))
        ]
        return ", ".join(map(repr, (*_OURS, *found)))


def load_policy_modules(
    paths: Sequence[Path], setting: str = "--policy-module"
) -> dict[str, ModuleType]:
    """Run the files that define routers; gives what they define, by their stems.

    Raises:
        ConfigError: With every file that is not there, fails, or has another's name.
    """
    modules: dict[str, ModuleType] = {}
    problems = []
    for path in paths:
        try:
            if path.stem in modules:
                raise ValueError("another file of this name was given: rename one of them")
            modules[path.stem] = _loaded(path.expanduser().resolve())
        except ValueError as error:
            problems.append(Problem(setting, f"{path} {error}"))
    if problems:
        raise ConfigError(problems)
    return modules


def _loaded(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError("does not exist, or is no file")
    name = _MODULE_PREFIX + path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError("is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file is somebody else's code
        del sys.modules[name]
        raise ValueError(f"can't be run: {type(error).__name__}: {error}") from error
    return module

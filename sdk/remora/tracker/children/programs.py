"""Programs started within a session find it in their environment.

Replaced is the lowest Python function that still takes an environment. What is built on these
needs nothing more: ``subprocess.run`` and asyncio on ``Popen``, ``os.spawn*``, ``os.execvp`` and
``pty.spawn`` on ``os.execv`` and ``os.execve``. Merging twice is the same as once.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import wrapt

from remora.tracker.active import ActiveSession, active_session, warn_untracked
from remora.tracker.children.environment import (
    explicit_environment,
    inherited_environment,
    leading_elsewhere,
)
from remora.tracker.children.replacement import Function, Parameter, replace

_EVENT_LOOP_METHODS = ("subprocess_exec", "subprocess_shell")
_home_pid = 0
"""The process that was told to keep sessions; others are children of its."""


def install() -> None:
    """Replace what starts programs."""
    global _home_pid
    _home_pid = os.getpid()
    replace(subprocess.Popen, "__init__", _around_popen)
    replace(os, "posix_spawn", _around_posix_spawn)
    replace(os, "posix_spawnp", _around_posix_spawn)
    replace(os, "execv", _around_execv)
    replace(os, "execve", _around_execve)
    replace(os, "system", _around_system)
    wrapt.register_post_import_hook(_install_in_uvloop, "uvloop")


def _install_in_uvloop(uvloop: ModuleType) -> None:
    """Replace what a loop of uvloop starts programs with, which is no Popen."""
    importlib.import_module("uvloop")  # another thread may be in the middle of it
    for method in _EVENT_LOOP_METHODS:
        replace(uvloop.Loop, method, _around_loop_method)


def _merged(session: ActiveSession, env: Any) -> Any:
    if env is None:
        return inherited_environment(session, _own_environment())
    try:
        merged = explicit_environment(session, env)
        elsewhere = leading_elsewhere(session, env)
    except TypeError:
        return env  # whoever takes it says what is wrong with it
    if elsewhere:
        _warn_elsewhere(elsewhere)
    return merged


def _warn_elsewhere(names: list[str]) -> None:
    """Say that a program's calls may fail or go past, since what its caller chose stays."""
    listed = ", ".join(names)
    warn_untracked(
        f"env with {listed}",
        f"a program was given an environment that sets {listed} itself, so its calls may fail or "
        "go untracked: leave that out, or put tracker.get_session_env(session) over it",
    )


def _merged_required(session: ActiveSession, env: Any) -> Any:
    """Merge where an environment has to be given: the process's own stands for inheriting it."""
    is_own = env is _own_environment() or (env is None and sys.version_info >= (3, 13))
    return _merged(session, None if is_own else env)


def _own_environment() -> Mapping[str, str]:
    return os.environ  # noqa: TID251 - what a child inherits


def _around_popen(original: Function) -> Function:
    env = Parameter(original, "env", skipped=1)

    def __init__(self: object, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it is one
        session = active_session.get()
        if session is not None:
            args, kwargs = env.supplied(lambda given: _merged(session, given), args, kwargs)
        original(self, *args, **kwargs)

    return __init__


def _around_loop_method(original: Function) -> Function:
    def start(self: object, *args: Any, **kwargs: Any) -> Any:
        session = active_session.get()
        if session is not None:
            kwargs = {**kwargs, "env": _merged(session, kwargs.get("env"))}
        return original(self, *args, **kwargs)

    return start


def _around_posix_spawn(original: Function) -> Function:
    def posix_spawn(path: Any, argv: Any, env: Any, /, **kwargs: Any) -> int:
        session = active_session.get()
        merged = env if session is None else _merged_required(session, env)
        pid: int = original(path, argv, merged, **kwargs)
        return pid

    return posix_spawn


def _around_execv(original: Function) -> Function:
    def execv(path: Any, argv: Any, /) -> None:
        session = _session_past_exec()
        if session is None:
            original(path, argv)
        else:
            os.execve(path, argv, _merged(session, None))  # noqa: S606 - as the caller asked

    return execv


def _around_execve(original: Function) -> Function:
    def execve(path: Any, argv: Any, env: Any) -> None:
        session = _session_past_exec()
        original(path, argv, env if session is None else _merged_required(session, env))

    return execve


def _session_past_exec() -> ActiveSession | None:
    """Give the session that outlives this program: a tracker of this very process does not."""
    session = active_session.get()
    if session is None or os.getpid() != _home_pid:
        return session
    warn_untracked(
        "os.exec",
        "os.exec* puts another program in place of this one, with which its tracker's sessions "
        "end, so the other's calls are not tracked: start it with subprocess.run",
    )
    return None


def _around_system(original: Function) -> Function:
    def system(command: Any) -> int:
        if active_session.get() is not None:
            warn_untracked(
                "os.system",
                "os.system starts a program without the session, so its calls are not tracked: "
                "use subprocess.run(command, shell=True)",
            )
        status: int = original(command)
        return status

    return system

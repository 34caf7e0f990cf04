"""Programs find the session in their environment, whichever way they are started."""

# ruff: noqa: S605, S606 - every way of starting a program is tested

import asyncio
import json
import os
import pickle
import pty
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvloop

from remora.tracker.active import (
    ActiveSession,
    UntrackedCallWarning,
    forget_untracked_causes,
    within,
)
from remora.tracker.children import session_environment

SAY = 'import json, os; open(os.environ["OUT"], "w").write(json.dumps(dict(os.environ)))'
SHELL = 'printf %s "$HTTPS_PROXY" > "$OUT"'
PYTHON = sys.executable
ARGV = [PYTHON, "-S", "-c", SAY]


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path: Path) -> None:
    """A shell in which nothing of ours is set."""
    for name in list(os.environ):
        if "proxy" in name.lower() or name.endswith(("_BUNDLE", "_CERT_FILE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    monkeypatch.setenv("NO_PROXY", "intra")


@pytest.fixture
def said(tmp_path: Path) -> Callable[[], Any]:
    """Give what reads the environment that a program saw, or the proxy that a shell did."""

    def read() -> Any:
        text = (tmp_path / "out").read_text()
        return json.loads(text) if text.startswith("{") else text

    return read


def _wait(pid: int) -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _fork_and(action: Callable[[], object]) -> None:
    pid = os.fork()
    if not pid:
        try:
            action()
        finally:
            os._exit(1)
    _wait(pid)


def _in_a_terminal(action: Callable[[], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        pid, terminal = pty.fork()
    if not pid:
        try:
            action()
        finally:
            os._exit(1)
    _wait(pid)
    os.close(terminal)


@pytest.fixture
def told() -> Iterator[None]:
    """Let what is told once be told in this test."""
    forget_untracked_causes()
    yield
    forget_untracked_causes()


INHERITING: dict[str, Callable[[], object]] = {
    "run": lambda: subprocess.run(ARGV, check=True),
    "call": lambda: subprocess.call(ARGV),
    "check_call": lambda: subprocess.check_call(ARGV),
    "check_output": lambda: subprocess.check_output(ARGV),
    "env of None": lambda: subprocess.run(ARGV, check=True, env=None),
    "env of None by position": lambda: subprocess.Popen(ARGV, *[-1, None, None, None, None, None,
                                                        True, False, None, None]).wait(),
    "a Popen that posix_spawns": lambda: subprocess.run(ARGV, check=True, close_fds=False),
    "os.popen": lambda: os.popen(f"{PYTHON} -S -c '{SAY}'").close(),
    "getoutput": lambda: subprocess.getoutput(f"{PYTHON} -S -c '{SAY}'"),
    "posix_spawn": lambda: _wait(os.posix_spawn(PYTHON, ARGV, os.environ)),
    "posix_spawnp": lambda: _wait(os.posix_spawnp(PYTHON, ARGV, os.environ, file_actions=[])),
    "spawnv": lambda: os.spawnv(os.P_WAIT, PYTHON, ARGV),
    "spawnl": lambda: os.spawnl(os.P_WAIT, PYTHON, *ARGV),
    "spawnvp": lambda: os.spawnvp(os.P_WAIT, PYTHON, ARGV),
    "spawnve of its own": lambda: os.spawnve(os.P_WAIT, PYTHON, ARGV, os.environ),
    "fork and execv": lambda: _fork_and(lambda: os.execv(PYTHON, ARGV)),
    "fork and execvp": lambda: _fork_and(lambda: os.execvp(PYTHON, ARGV)),
    "pty.fork and execlp": lambda: _in_a_terminal(lambda: os.execlp(PYTHON, *ARGV)),
}  # fmt: skip
SET_BY_SHELLS = {"PWD", "OLDPWD", "SHLVL", "_"}
needs_none = pytest.mark.skipif(sys.version_info < (3, 13), reason="takes None from 3.13 on")


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("start", INHERITING.values(), ids=INHERITING)
def test_a_program_that_inherits_its_environment_has_the_session(
    session, said, start, monkeypatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://corp:1")
    monkeypatch.setenv("SSL_CERT_FILE", "/corp.pem")
    with within(session):
        start()

    expected = {**os.environ, **session_environment(session, os.environ)}
    assert expected["NO_PROXY"].startswith("intra,")
    seen = said()
    kept = {name: value for name, value in expected.items() if name not in SET_BY_SHELLS}
    assert {name: seen.get(name) for name in kept} == kept


def _given(**changed: str) -> dict[str, str]:
    return {"OUT": os.environ["OUT"], "PATH": os.environ["PATH"], **changed}


BY_POSITION = [-1, None, None, None, None, None, True, False, None]
EXPLICIT: dict[str, Callable[[dict[str, str]], object]] = {
    "Popen by name": lambda env: subprocess.Popen(ARGV, env=env).wait(),
    "Popen by position": lambda env: subprocess.Popen(ARGV, *BY_POSITION, env).wait(),
    "run": lambda env: subprocess.run(ARGV, env=env, check=True),
    "a Popen that posix_spawns": lambda env: subprocess.run(
        ARGV, env=env, check=True, close_fds=False
    ),
    "posix_spawn": lambda env: _wait(os.posix_spawn(PYTHON, ARGV, env)),
    "posix_spawnp": lambda env: _wait(os.posix_spawnp(PYTHON, ARGV, env)),
    "spawnve": lambda env: os.spawnve(os.P_WAIT, PYTHON, ARGV, env),
    "spawnle": lambda env: os.spawnle(os.P_WAIT, PYTHON, *ARGV, env),
    "spawnvpe": lambda env: os.spawnvpe(os.P_WAIT, PYTHON, ARGV, env),
    "spawnlpe": lambda env: os.spawnlpe(os.P_WAIT, PYTHON, *ARGV, env),
    "fork and execve": lambda env: _fork_and(lambda: os.execve(PYTHON, ARGV, env)),
    "fork and execvpe": lambda env: _fork_and(lambda: os.execvpe(PYTHON, ARGV, env)),
}


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("start", EXPLICIT.values(), ids=EXPLICIT)
def test_what_the_caller_gives_a_program_stays(session, said, start, told) -> None:
    env = _given(HTTPS_PROXY="http://mine:1", NO_PROXY="*")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrackedCallWarning)
        with within(session):
            start(env)

    seen = said()
    expected = {**session_environment(session), **env}
    assert {name: seen.get(name) for name in expected} == expected
    assert env == _given(HTTPS_PROXY="http://mine:1", NO_PROXY="*")


def test_what_leads_a_program_past_the_sidecar_is_told_once(session, told) -> None:
    with within(session):
        subprocess.run(["true"], check=True, env=_given(NO_PROXY="intra"))
        with pytest.warns(UntrackedCallWarning, match="sets HTTPS_PROXY itself") as caught:
            subprocess.run(["true"], check=True, env=_given(HTTPS_PROXY="http://mine:1"))
        subprocess.run(["true"], check=True, env=_given(HTTPS_PROXY="http://mine:1"))

    assert len(caught) == 1


ASYNC: dict[str, Any] = {
    "exec": lambda **given: asyncio.create_subprocess_exec(*ARGV, **given),
    "shell": lambda **given: asyncio.create_subprocess_shell(SHELL, **given),
    "anyio": lambda **given: anyio.open_process(ARGV, **given),
    "anyio's shell": lambda **given: anyio.open_process(SHELL, **given),
}
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("start", ASYNC.values(), ids=ASYNC)
@pytest.mark.parametrize("is_explicit", [True, False], ids=["explicit", "inherited"])
def test_a_program_of_asyncio_has_the_session(session, said, loop, start, is_explicit) -> None:
    async def main() -> None:
        with within(session):
            process = await start(**({"env": _given(A="1")} if is_explicit else {}))
        assert await process.wait() == 0

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())

    seen = said()
    if isinstance(seen, str):
        assert seen == session.proxy_url
        return
    ours = session_environment(session, {} if is_explicit else os.environ)
    assert {name: seen.get(name) for name in ours} == ours
    assert (seen.get("A") == "1") is is_explicit


def test_uvloop_is_covered_when_it_is_imported_later(session, tmp_path) -> None:
    code = f"""
import asyncio, pickle, sys
from remora.tracker.active import within
from remora.tracker.children import install_children
install_children()
assert "uvloop" not in sys.modules
import uvloop
async def main():
    with within(pickle.loads({_pickled(session)!r})):
        process = await asyncio.create_subprocess_shell({SHELL!r})
    await process.wait()
uvloop.run(main())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)

    assert (tmp_path / "out").read_text() == session.proxy_url


def _pickled(session: ActiveSession) -> bytes:
    return pickle.dumps(session)


def test_without_a_session_nothing_changes(said) -> None:
    subprocess.run(ARGV, check=True)

    assert {name for name in said() if "proxy" in name.lower()} == {"NO_PROXY"}


def test_programs_of_two_sessions_side_by_side_have_each_its_own(session_of, tmp_path) -> None:
    processes = []
    for name in ("sess_a", "sess_b"):
        with within(session_of(name)):
            processes.append(subprocess.Popen(["sh", "-c", SHELL],
                                              env={"OUT": str(tmp_path / name)}))  # fmt: skip
    assert [process.wait() for process in processes] == [0, 0]

    for name in ("sess_a", "sess_b"):
        assert (tmp_path / name).read_text() == session_of(name).proxy_url


WRONG: dict[str, tuple[Any, Callable[[], object]]] = {
    "no arguments": (TypeError, lambda: subprocess.Popen()),
    "env twice": (TypeError, lambda: subprocess.Popen(ARGV, *BY_POSITION, {}, env={})),
    "env that is none": ((TypeError, AttributeError), lambda: subprocess.Popen(ARGV, env=5)),
    "a name that is none": (TypeError, lambda: subprocess.Popen(ARGV, env={5: "x"})),
    "an unknown argument": (TypeError, lambda: subprocess.Popen(ARGV, no_such=1)),
    "no such program": (FileNotFoundError, lambda: subprocess.run(["/no/such"], check=True)),
    "posix_spawn without env": (TypeError, lambda: os.posix_spawn(PYTHON, ARGV)),
    "posix_spawn of nothing": (FileNotFoundError, lambda: os.posix_spawn("/no", ["a"], {})),
    "spawnv of nothing": (ValueError, lambda: os.spawnv(os.P_WAIT, PYTHON, [])),
}


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
@pytest.mark.parametrize(("error", "start"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_as_ever(session, error, start) -> None:
    with pytest.raises(error) as without:
        start()
    with within(session), pytest.raises(error) as inside:
        start()

    assert type(inside.value) is type(without.value)


def test_subclasses_of_popen_work(session, said) -> None:
    class Own(subprocess.Popen):
        def __init__(self, argv: list[str]) -> None:
            super().__init__(argv, stdout=subprocess.PIPE, text=True)

    with within(session), Own([PYTHON, "-S", "-c", f"{SAY}; print('ok')"]) as process:
        assert process.communicate()[0] == "ok\n"

    assert said()["HTTPS_PROXY"] == session.proxy_url


def test_os_system_is_told_about_once(session, told) -> None:
    with within(session):
        with pytest.warns(UntrackedCallWarning, match=r"os\.system .* subprocess\.run") as caught:
            assert os.system("exit 3") == 3 << 8
        assert caught[0].filename == __file__
        assert os.system("true") == 0


def test_os_system_without_a_session_is_no_matter(told) -> None:
    assert os.system("true") == 0


def test_replacing_the_trackers_own_process_is_told_and_carries_no_session(
    session, tmp_path
) -> None:
    code = f"""
import os, pickle
from remora.tracker.active import within
from remora.tracker.children import install_children
install_children()
with within(pickle.loads({_pickled(session)!r})):
    os.execvp({PYTHON!r}, {ARGV!r})
"""
    ran = subprocess.run(
        [PYTHON, "-c", code], check=True, timeout=100, capture_output=True, text=True
    )

    assert "UntrackedCallWarning: os.exec* puts another program" in ran.stderr
    assert "HTTPS_PROXY" not in json.loads((tmp_path / "out").read_text())


def test_a_signal_to_a_program_still_ends_it(session) -> None:
    with within(session):
        process = subprocess.Popen(["sleep", "1000"])
    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == -signal.SIGTERM


@needs_none
def test_posix_spawn_takes_none_for_its_own_environment(session, said) -> None:
    with within(session):
        _wait(os.posix_spawn(PYTHON, ARGV, None))

    assert said()["HTTPS_PROXY"] == session.proxy_url

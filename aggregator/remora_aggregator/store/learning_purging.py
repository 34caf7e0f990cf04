"""Signals and trials that somebody wants gone, with the records of their calls."""

from remora_aggregator.store.facts import Value, column_text
from remora_aggregator.store.learning_forgetting import SLICE, delete_trials, forget_namespace
from remora_aggregator.store.learning_rows import Rows
from remora_aggregator.store.learning_signals import SignalTables
from remora_aggregator.store.port import Backend

_NS_PER_MS = 1_000_000

_OF_GOALS = " and goal in (select goal from score_places where namespace = ?)"
"""Is so of all of a namespace's trials, and has an index."""


def purge_learning(
    backend: Backend,
    namespace: str,
    *,
    session_id: str = "",
    task_id: str = "",
    before_unix_ns: int = 0,
) -> int:
    """Take away some signals and trials that are meant; returns how many, 0 once none are left.

    What was learned of them stays, as it names nobody; but of a whole namespace nothing stays.

    Args:
        backend: The store's.
        namespace: Theirs.
        session_id: Only those of calls of this session.
        task_id: Only those of calls of this task.
        before_unix_ns: Only those of calls that began before; 0: whenever.
    """
    with backend.transaction() as writing:
        rows = Rows(writing, backend.flavour.mark)
        where, parameters = _meant(namespace, session_id, task_id)
        began = ""
        early: tuple[Value, ...] = ()
        if before_unix_ns:
            began, early = " and at_ms < ?", (before_unix_ns // _NS_PER_MS,)
        of_goals, goals = ("", ()) if session_id or task_id else (_OF_GOALS, (namespace,))
        gone = delete_trials(rows, where + began + of_goals, (*parameters, *early, *goals), SLICE)
        if gone < SLICE and not task_id:
            gone += _signals(rows, where, parameters, before_unix_ns, SLICE - gone)
        if not gone and not (session_id or task_id or before_unix_ns):
            forget_namespace(rows, namespace)
        return gone


def _meant(namespace: str, session_id: str, task_id: str) -> tuple[str, tuple[Value, ...]]:
    if session_id:
        return "namespace = ? and session_id = ?", (namespace, column_text(session_id))
    if task_id:
        return "namespace = ? and task_id = ?", (namespace, column_text(task_id))
    return "namespace = ?", (namespace,)


def _signals(
    rows: Rows, where: str, parameters: tuple[Value, ...], before_unix_ns: int, limit: int
) -> int:
    if before_unix_ns:
        where, parameters = f"{where} and received_unix_ns < ?", (*parameters, before_unix_ns)
    return SignalTables(rows).delete(where, parameters, limit)

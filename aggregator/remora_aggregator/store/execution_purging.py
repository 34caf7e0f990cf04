"""Executions that somebody wants gone, with the records of their calls."""

from remora_aggregator.store.facts import Value, column_text
from remora_aggregator.store.port import Backend
from remora_aggregator.store.retention import SLICE_RECORDS
from remora_aggregator.store.sql import Statement


def purge_executions(
    backend: Backend,
    namespace: str,
    *,
    session_id: str = "",
    task_id: str = "",
    before_unix_ns: int = 0,
) -> int:
    """Take away some executions that are meant; returns how many, 0 once none are left.

    Args:
        backend: The store's.
        namespace: Theirs.
        session_id: Only those of this session.
        task_id: Only those of this task.
        before_unix_ns: Only those that began before; 0: whenever.
    """
    conditions: list[str] = ["namespace = ?"]
    parameters: list[Value] = [namespace]
    for column, wanted in (("session_id", session_id), ("task_id", task_id)):
        if wanted:
            conditions.append(f"{column} = ?")
            parameters.append(column_text(wanted))
    if before_unix_ns:
        conditions.append("began_unix_ns < ?")
        parameters.append(before_unix_ns)
    meant = f"select namespace, execution_id from executions where {' and '.join(conditions)}"  # noqa: S608 - our own words
    sql = f"delete from executions where (namespace, execution_id) in ({meant} limit ?) returning 1"  # noqa: S608 - as above
    statement = Statement(sql.replace("?", backend.flavour.mark), (*parameters, SLICE_RECORDS))
    with backend.transaction() as writing:
        return len(writing.run(statement))

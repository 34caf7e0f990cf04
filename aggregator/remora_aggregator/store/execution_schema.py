"""The tables of workflows' executions, alike in both databases. Released: never changed."""

from collections.abc import Sequence


def tables(text: str, blob: str) -> Sequence[str]:
    """Write the statements that make them.

    Args:
        text: The type of texts, which compare by their code points.
        blob: The type of bytes.
    """
    return (
        # `head` and `steps` are two halves of one message: joined, they are the whole.
        f"""
        create table executions (
            namespace {text} not null, execution_id {text} not null,
            position bigint not null, revision bigint not null, pod_uid {text} not null,
            began_unix_ns bigint not null, received_unix_ns bigint not null,
            status {text} not null, workflow {text} not null,
            task_id {text}, session_id {text}, agent_id {text},
            head {blob} not null, steps {blob} not null,
            primary key (namespace, execution_id)
        )
        """,
        "create index executions_began on executions (namespace, began_unix_ns, execution_id)",
        "create index executions_all_began on executions (began_unix_ns, namespace, execution_id)",
        "create index executions_position on executions (position)",
        "create index executions_received on executions (received_unix_ns)",
        "create index executions_workflow on executions "
        "(namespace, workflow, began_unix_ns, execution_id)",
        *(
            f"create index executions_{column} on executions "
            f"(namespace, {column}, began_unix_ns, execution_id) where {column} is not null"
            for column in ("task_id", "session_id", "agent_id")
        ),
        "create table execution_positions (last bigint not null)",
        "insert into execution_positions values (0)",
    )

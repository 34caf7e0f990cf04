"""The tables of tasks and leases, alike in both databases. Released steps: never changed."""

from collections.abc import Sequence
from typing import Final

BUDGETS_SAID: Final = (
    # What people are told of a budget: as who asked last said it.
    "alter table accounts add column limit_picousd {text}",
    "alter table accounts add column limit_tokens bigint",
    "alter table accounts add column asked_unix_ns bigint not null default 0",
)
"""Statements of a later step; the type of texts is to be put in."""


def tables(text: str, blob: str) -> Sequence[str]:
    """Write the statements that make them.

    Money is text, in picodollars: it goes past 64 bits, and nobody sums it in SQL.

    Args:
        text: The type of texts, which compare by their code points.
        blob: The type of bytes.
    """
    account = f"""
        namespace {text} not null, budget {text} not null, per {text} not null,
        key {text} not null, window_start_unix_ns bigint not null, window_ns bigint not null
    """
    amounts = f"""
        spent_picousd {text} not null, spent_tokens bigint not null,
        granted_picousd {text} not null, granted_tokens bigint not null
    """
    names = "namespace, budget, per, key, window_start_unix_ns, window_ns"
    return (
        f"create table accounts ({account}, {amounts}, primary key ({names}))",
        f"""
        create table leases (
            {account}, sender {text} not null, lease_id {text} not null, {amounts},
            number bigint not null, ends_unix_ns bigint not null, has_grant integer not null,
            primary key ({names}, sender, lease_id)
        )
        """,
        f"create index leases_granted on leases ({names}, ends_unix_ns) where has_grant = 1",
        "create index leases_ended on leases (ends_unix_ns)",
        f"""
        create table tasks (
            namespace {text} not null, task_id {text} not null,
            position bigint not null, control_position bigint not null,
            created_unix_ns bigint not null, stirred_unix_ns bigint not null,
            state {text} not null, quiet {text}, control {text}, entry {blob} not null,
            primary key (namespace, task_id)
        )
        """,
        "create index tasks_created on tasks (namespace, created_unix_ns, task_id)",
        "create index tasks_all_created on tasks (created_unix_ns, namespace, task_id)",
        "create index tasks_position on tasks (position)",
        "create index tasks_control_position on tasks (control_position)",
        "create index tasks_quiet on tasks (quiet, stirred_unix_ns) where quiet is not null",
        "create index tasks_stirred on tasks (stirred_unix_ns)",
        "create index tasks_held on tasks (namespace, control_position) where control is not null",
        "create table task_positions (last bigint not null)",
        "insert into task_positions values (0)",
    )

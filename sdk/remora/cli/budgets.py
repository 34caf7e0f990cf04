"""`remora tasks budgets`: what is spent and leased of the budgets that pods share."""

import json
from typing import TYPE_CHECKING

import click

from remora.cli.options import AGGREGATOR, JSON
from remora.clock import SystemClock

if TYPE_CHECKING:
    from remora.client.budget import SharedBudget

_PERS = ("task", "session", "agent", "namespace")
_DEFAULT_LIMIT = 50


@click.command(name="budgets")
@click.option("--name", "budget_glob", default="", metavar="GLOB",
              help="Budgets whose name matches: * is any text, ? any one character.")  # fmt: skip
@click.option("--key", "key_glob", default="", metavar="GLOB",
              help="Of tasks, sessions or agents whose id matches.")  # fmt: skip
@click.option("--per", "pers", multiple=True, type=click.Choice(_PERS),
              help="Budgets that are counted so; may be given again.")  # fmt: skip
@click.option("--past", is_flag=True, help="Windows that are over, too, while they are kept.")
@click.option("--limit", "-n", type=click.IntRange(min=0), default=_DEFAULT_LIMIT,
              show_default=True, help="So many, by namespace and name; 0: all.")  # fmt: skip
@click.option("--namespace", default="", metavar="NAME", help="Budgets of this namespace.")
@AGGREGATOR
@JSON
def budgets(
    *,
    budget_glob: str,
    key_glob: str,
    pers: tuple[str, ...],
    past: bool,
    limit: int,
    namespace: str,
    aggregator: str | None,
    as_json: bool,
) -> None:
    """Show what is spent and leased of the budgets that pods share.

    Budgets per task, session, agent and namespace are known here as soon as a sidecar has asked
    for some of them.
    """
    from remora.client.budget import BudgetFilter, BudgetPer
    from remora.client.settings import read_client_settings
    from remora.client.tasks import TaskClient

    target = read_client_settings(aggregator).target
    wanted = BudgetFilter(
        namespace=namespace,
        budget_glob=budget_glob,
        key_glob=key_glob,
        per=tuple(BudgetPer[per.upper()] for per in pers),
        past=past,
    )
    with TaskClient(target) as client:
        count = 0
        show = _Showing(as_json=as_json, with_namespace=not namespace)
        for budget in client.budgets(wanted, limit=limit or None):
            show.show(budget)
            count += 1
    if not count:
        where = f"the aggregator at {target.address}"
        click.echo(f"remora tasks budgets: {where} has no budget that matches", err=True)


class _Showing:
    """Shows budgets one by one."""

    def __init__(self, *, as_json: bool, with_namespace: bool) -> None:
        from remora.cli.budget_lines import BudgetLines
        from remora.cli.screen import output

        self._as_json = as_json
        self._console = output()
        self._lines = BudgetLines(self._console.width, with_namespace=with_namespace)

    def show(self, budget: "SharedBudget") -> None:
        """Show one."""
        if self._as_json:
            from remora.cli.budget_lines import budget_json

            click.echo(json.dumps(budget_json(budget), ensure_ascii=False))
            return
        for line in self._lines.lines(budget, SystemClock().now_unix_ns()):
            self._console.print(line)

"""Tasks: runs of agents, with what their calls came to. Sums of money are `Decimal`."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from remora.api_client.amounts import with_amounts
from remora.api_client.http_calls import Calls


class Tasks:
    """Looks at tasks and steers them."""

    def __init__(self, calls: Calls) -> None:
        """Take how calls are made."""
        self._calls = calls

    def get(
        self, task_id: str, include_receipts: bool = False, *, limit: int | None = None
    ) -> dict[str, Any]:
        """Show a task.

        Args:
            task_id: Which.
            include_receipts: Whether to say of each call why it went where it went.
            limit: The most receipts; None: all.

        Returns:
            ``{"task": {status, total_cost_usd, …}, "receipts": [{decision, execution, …}]}``;
            without receipts the list is empty.

        Raises:
            ApiError: There is no such task, or it may not be seen.
            Unavailable: No sidecar answers.
        """
        path = _path(task_id)
        if not include_receipts:
            told = with_amounts(self._calls.get(path))
            return {"task": told["task"], "receipts": []}
        pages = self._pages(path, {"include_receipts": "true"}, limit)
        first = next(pages)
        receipts = [*first["receipts"], *(one for page in pages for one in page["receipts"])]
        return {"task": first["task"], "receipts": receipts[:limit]}

    def list(self, state: str | None = None, *, limit: int | None = None) -> list[dict[str, Any]]:
        """List tasks.

        Args:
            state: Only those in this state, such as ``running``.
            limit: The most; None: all.
        """
        asked = {"state": state} if state else {}
        pages = self._pages("/tasks", asked, limit)
        return [task for page in pages for task in page["tasks"]][:limit]

    def create(
        self, task_id: str, title: str | None = None, budget: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make a task known before its first call, or change its title and budget.

        Args:
            task_id: Its id, which calls name.
            title: For people.
            budget: ``{max_cost_usd, max_tokens}``.

        Returns:
            ``{"task": …}``.
        """
        said = {"task_id": task_id, "title": title, "budget": budget}
        body = {name: value for name, value in said.items() if value is not None}
        return dict(with_amounts(self._calls.post("/tasks", body)))

    def cancel(self, task_id: str, reason: str = "", *, cut_streams: bool = True) -> dict[str, Any]:
        """End a task: its next calls are refused, and those in flight are cut or go on."""
        return self._steered(task_id, "cancel", reason, {"cut_streams": cut_streams})

    def pause(self, task_id: str, reason: str = "") -> dict[str, Any]:
        """Refuse a task's next calls until it is resumed."""
        return self._steered(task_id, "pause", reason, {})

    def resume(self, task_id: str, reason: str = "") -> dict[str, Any]:
        """Let a paused task go on."""
        return self._steered(task_id, "resume", reason, {})

    def _steered(
        self, task_id: str, what: str, reason: str, more: Mapping[str, Any]
    ) -> dict[str, Any]:
        body = {**more, **({"reason": reason} if reason else {})}
        return dict(with_amounts(self._calls.post(_path(task_id, what), body)))

    def _pages(
        self, path: str, asked: Mapping[str, str], limit: int | None
    ) -> Iterator[dict[str, Any]]:
        """Give answer after answer, until there is no more or enough."""
        cursor, count = "", 0
        while True:
            query = {**asked, **({"cursor": cursor} if cursor else {})}
            page = with_amounts(self._calls.get(f"{path}?{urlencode(query)}" if query else path))
            yield page
            count += len(page.get("receipts", page.get("tasks", ())))
            cursor = page.get("next_cursor") or ""
            if not cursor or (limit is not None and count >= limit):
                return


def _path(task_id: str, what: str = "") -> str:
    path = f"/tasks/{quote(task_id, safe='')}"
    return f"{path}/{what}" if what else path

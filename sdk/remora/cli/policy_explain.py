"""`remora policy explain`: what a policy would make of a request that nobody sends."""

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from remora.cli.options import AGGREGATOR, JSON
from remora.cli.policy_sources import (
    FILES,
    LABELS,
    policy_of_files,
    refuse_labels_without_files,
    running_policy,
)

if TYPE_CHECKING:
    from remora.cli.policy_question import PolicyAnswer, PolicyQuestion, UnsentRequest
    from remora.policy import EffectivePolicy

DEFAULT_URL = "https://api.openai.com/v1/chat/completions"

Fields = tuple[tuple[str, str], ...]


class HeaderField(click.ParamType[tuple[str, str]]):
    """One header field of a request."""

    name = "header"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Read ``Name: value``; what it says is never repeated, as it may be a key."""
        name, colon, content = str(value).partition(":")
        if not colon or not name.strip() or not str(value).isprintable():
            self.fail("a header is written 'Name: value'", param, ctx)
        return name.strip(), content.strip()


@click.command(name="explain")
@FILES
@LABELS
@click.option("--request", "body", type=click.File("rb"), metavar="FILE",
              help="The request's body; - reads standard input.")  # fmt: skip
@click.option("--call", "call_id", metavar="CALL_ID", help="Take the request of a recorded call.")
@click.option("--url", help=f"Where it is sent. Default: {DEFAULT_URL}")
@click.option("--method", help="Default: POST with --request, else GET.")
@click.option("--header", "headers", type=HeaderField(), multiple=True, metavar="'NAME: VALUE'",
              help="One of its headers; may be given again.")  # fmt: skip
@click.option("--session", "session_id", default="", metavar="ID", help="Its session.")
@click.option("--task", "task_id", default="", metavar="ID", help="Its task.")
@click.option("--data-id", default="", help="The datapoint or user task that it belongs to.")
@click.option("--combo-id", default="", help="The combination of models that it belongs to.")
@click.option("--agent-id", default="", help="The agent role that makes it.")
@AGGREGATOR
@JSON
def explain(
    *,
    files: tuple[Path, ...],
    labels: dict[str, str] | None,
    body: IO[bytes] | None,
    call_id: str | None,
    url: str | None,
    method: str | None,
    headers: Fields,
    aggregator: str | None,
    as_json: bool,
    **whose: str,
) -> None:
    """Explain what a policy would make of a request: the rule, the candidates, the budgets.

    The request is not sent and nothing is spent. Without FILE the running sidecar is asked for
    its policy.
    """
    from remora.cli.policy_question import PolicyQuestion
    from remora.clock import SystemClock
    from remora.records import Attribution

    refuse_labels_without_files(files, labels)
    _refuse_no_request(body, call_id, url, method)
    policy = policy_of_files(files, labels or {}) if files else running_policy()
    notes: tuple[str, ...] = ()
    if call_id is None:
        request, now_unix_ns = _request(body, url, method), SystemClock().now_unix_ns()
        asked = PolicyQuestion(policy, request, now_unix_ns, labels, Attribution(**whose))
    else:
        asked, notes = _of_call(call_id, aggregator, whose, policy, labels)
    # The first of a name counts: what is said here goes before what is so by itself.
    request = replace(asked.request, headers=(*headers, *asked.request.headers))
    asked = replace(asked, request=request)
    answer = _answered(asked)
    _show(replace(answer, notes=(*answer.notes, *notes)), as_json=as_json)


def _refuse_no_request(
    body: IO[bytes] | None, call_id: str | None, url: str | None, method: str | None
) -> None:
    if call_id is None and body is None and url is None:
        raise click.UsageError("name what is asked: --request FILE, --call CALL_ID or --url URL")
    if call_id is not None and not (body is None and url is None and method is None):
        raise click.UsageError("--call takes the whole request: leave --request, --url, --method")


def _request(body: IO[bytes] | None, url: str | None, method: str | None) -> "UnsentRequest":
    from remora.cli.policy_question import UnsentRequest

    if body is None:
        return UnsentRequest(method or "GET", url or DEFAULT_URL)
    headers = (("Content-Type", "application/json"),)
    return UnsentRequest(method or "POST", url or DEFAULT_URL, headers, body.read())


def _of_call(
    call_id: str,
    aggregator: str | None,
    whose: Mapping[str, str],
    policy: "EffectivePolicy",
    labels: Mapping[str, str] | None,
) -> "tuple[PolicyQuestion, tuple[str, ...]]":
    """Take the request from a record, with when it was sent and whose it was; and what is missing.

    What the call used is known.
    """
    from remora.cli.explain import recorded_call
    from remora.cli.policy_question import PolicyQuestion
    from remora.cli.recorded_request import recorded_request

    record = recorded_call("remora policy explain", call_id, aggregator, with_bodies=True)
    try:
        request, notes = recorded_request(record)
    except ValueError as error:
        text = f"the call {call_id} can't be asked again: {error}. Give the body with --request."
        raise click.ClickException(text) from None
    given = {name: text for name, text in whose.items() if text}
    attribution, used = replace(record.attribution, **given), record.usage
    asked = PolicyQuestion(policy, request, record.started_unix_ns, labels, attribution, used)
    return asked, notes


def _answered(asked: "PolicyQuestion") -> "PolicyAnswer":
    """Have the sidecar's part answer, which decides about calls."""
    from remora.cli.policy_question import ANSWERS

    entries = list(entry_points(group=ANSWERS))
    try:
        answer: PolicyAnswer = entries[0].load()(asked)
    except (ModuleNotFoundError, IndexError) as error:
        name = getattr(error, "name", "") or "remora_sidecar"
        if name.startswith("remora_sidecar."):
            raise
        text = f"needs {name}, which is not installed: pip install 'remora[sidecar]'"
        raise click.UsageError(text) from None
    return answer


def _show(answer: "PolicyAnswer", *, as_json: bool) -> None:
    if as_json:
        from remora.cli.policy_answer_json import policy_answer_json

        click.echo(json.dumps(policy_answer_json(answer), ensure_ascii=False))
        return
    from remora.cli.policy_answer_lines import policy_answer_lines

    for text in policy_answer_lines(answer):
        click.echo(text)

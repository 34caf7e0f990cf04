"""The resource ``/v1/records``: pages of records, and one record with its receipt."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from aiohttp import web

from remora.cli.record_json import record_json
from remora.record_wire import stored_from_message
from remora_aggregator.service.projection import order_of
from remora_aggregator.store.cursor import cursor_of
from remora_aggregator.store.reading import Page
from remora_aggregator.store.sql import Order
from remora_aggregator.web.answering import in_time, rendered
from remora_aggregator.web.callers import caller_of, seen
from remora_aggregator.web.front import front_of
from remora_aggregator.web.operation import Operation, json_of
from remora_aggregator.web.parameters import OneRecordParameters, RecordParameters
from remora_aggregator.web.places import take_place_with_bodies
from remora_aggregator.web.problems import ApiProblem
from remora_aggregator.web.question import about, place, record_filter
from remora_aggregator.web.record_answer import RecordAnswer, RecordPageAnswer
from remora_aggregator.web.shown_fields import ShownFields, shown_fields
from remora_proto.v1 import records_pb2 as pb

_ORDERS: Final = {
    "newest": pb.RECORD_ORDER_NEWEST_FIRST,
    "oldest": pb.RECORD_ORDER_OLDEST_FIRST,
}


async def list_records(request: web.Request, asked: RecordParameters) -> web.StreamResponse:
    """Answer with a page of records."""
    front = front_of(request)
    chosen = seen(caller_of(request), record_filter(asked, front.clock.now_unix_ns()))
    with about("fields"):
        shown = shown_fields(asked.fields, bodies=asked.bodies)
    with about("order_by"):
        order = order_of(asked.order_by, _ORDERS[asked.order])
    if shown.bodies:
        await take_place_with_bodies(request)
    async with in_time(front.bounds):
        page = await front.store.page(
            chosen, after=place(asked.cursor), order=order, most=asked.limit, bodies=shown.bodies
        )
    return await rendered(partial(page_json, page, shown))


def page_json(page: Page, shown: ShownFields) -> dict[str, Any]:
    """Show a page."""
    more = page.last is not None and not page.is_last
    return {
        "records": [stored_json(stored, shown) for stored in page.records],
        "next": cursor_of(page.last) if more and page.last is not None else None,
    }


def stored_json(stored: pb.StoredRecord, shown: ShownFields) -> dict[str, Any]:
    """Show a record."""
    return shown.of(record_json(stored_from_message(stored), with_bodies=shown.bodies))


async def show_record(request: web.Request, asked: OneRecordParameters) -> web.StreamResponse:
    """Answer with one record."""
    front = front_of(request)
    call_id = request.match_info["call_id"]
    wanted = pb.RecordFilter(call_id=call_id, namespace=asked.namespace, pod_uid=asked.pod_uid)
    chosen = seen(caller_of(request), wanted)
    if asked.bodies:
        await take_place_with_bodies(request)
    async with in_time(front.bounds):
        page = await front.store.page(
            chosen, after=None, order=Order(), most=2, bodies=asked.bodies
        )
    found = _only(page.records, call_id)
    return await rendered(partial(stored_json, found, shown_fields([], bodies=asked.bodies)))


def _only(records: Sequence[pb.StoredRecord], call_id: str) -> pb.StoredRecord:
    if not records:
        detail = f"There is no call {call_id} among those that you may see."
        remedy = "Look for it in /v1/records; sidecars report a call when it has ended."
        raise ApiProblem(404, detail, "no-such-call", where="call_id", remedy=remedy)
    if len(records) > 1:
        detail = f"Several pods reported a call {call_id} of their own."
        remedy = f"Name one with `namespace` and `pod_uid`; /v1/records?call_id={call_id} has all."
        raise ApiProblem(409, detail, "several-calls", where="call_id", remedy=remedy)
    return records[0]


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/records", "listRecords", "List records",
        parameters=RecordParameters, handler=list_records, answer=json_of(RecordPageAnswer),
    ),
    Operation(
        "GET", "/v1/records/{call_id}", "showRecord", "Show one call with its receipt",
        parameters=OneRecordParameters, handler=show_record, answer=json_of(RecordAnswer),
        problems=(404, 409),
    ),
)  # fmt: skip

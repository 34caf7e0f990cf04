"""Which fields of records are sent, and in which order records come. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.field_mask_pb2 import FieldMask

from remora.errors import BadRequest
from remora_aggregator.store.fields import Kind, field_named
from remora_aggregator.store.sql import Order
from remora_proto.v1 import records_pb2 as pb

_MOST_FIELDS = 100
_BODIES = ("request_body", "response_body")


@dataclass(frozen=True, slots=True)
class Projection:
    """Which fields of a record are sent.

    Attributes:
        mask: None: all of them.
        bodies: Whether bodies may be among them.
    """

    mask: FieldMask | None
    bodies: bool

    def of(self, stored: pb.StoredRecord) -> pb.StoredRecord:
        """Leave out what was not asked for; the stamps stay."""
        if self.mask is None:
            return stored
        shown = pb.CallRecord()
        self.mask.MergeMessage(stored.record, shown)
        stored.record.CopyFrom(shown)
        return stored


def projection(paths: Sequence[str]) -> Projection:
    """Read which fields are asked for.

    Raises:
        BadRequest: A path names no field of CallRecord.
    """
    if not paths:
        return Projection(None, bodies=True)
    if len(paths) > _MOST_FIELDS:
        raise BadRequest(f"at most {_MOST_FIELDS} fields can be named")
    for path in paths:
        mask = FieldMask(paths=[path])
        if not mask.IsValidForDescriptor(pb.CallRecord.DESCRIPTOR):
            raise BadRequest(f"records have no field {path[:60]!r}")
    has_bodies = any(path.partition(".")[0] in _BODIES for path in paths)
    return Projection(FieldMask(paths=["call_id", *paths]), bodies=has_bodies)


def order_of(order_by: str, direction: int) -> Order:
    """Read an order.

    Raises:
        BadRequest: There is no such direction, or records can't be ordered by the field.
    """
    if direction not in (pb.RECORD_ORDER_OLDEST_FIRST, pb.RECORD_ORDER_NEWEST_FIRST):
        raise BadRequest(f"order {direction} is none that this aggregator knows")
    descending = direction == pb.RECORD_ORDER_NEWEST_FIRST
    if not order_by:
        return Order(descending=descending)
    field = field_named(order_by)
    if not field.column or field.kind not in (Kind.NUMBER, Kind.MONEY):
        raise BadRequest(f"records can't be ordered by {order_by[:60]!r}")
    return Order(field.column, is_money=field.kind is Kind.MONEY, descending=descending)

"""A failed gRPC call as the error that its caller can do something about."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import InvalidOperation

import grpc

from remora.client.address import is_on_this_machine
from remora.client.target import AggregatorTarget
from remora.errors import BadRequest, RemoraError, Unavailable

_REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT: (400, "invalid_argument"),
    grpc.StatusCode.OUT_OF_RANGE: (400, "out_of_range"),
    grpc.StatusCode.FAILED_PRECONDITION: (400, "failed_precondition"),
    grpc.StatusCode.NOT_FOUND: (404, "not_found"),
}


def explain(error: grpc.RpcError, target: AggregatorTarget) -> RemoraError:
    """Say what happened, where, and what to do about it."""
    # Every RpcError that gRPC raises is one of these.
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)  # noqa: S101
    code, details = error.code(), str(error.details() or "").strip()
    if code in _REFUSED:
        status, name = _REFUSED[code]
        message = f"the aggregator at {target.address} refuses this: {details}"
        return BadRequest(message, status=status, code=name)
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return BadRequest(_unknown_token(target, details), status=401, code="unauthenticated")
    if code is grpc.StatusCode.PERMISSION_DENIED:
        message = f"the aggregator at {target.address} does not allow this: {details}"
        return BadRequest(message, status=403, code="permission_denied")
    return Unavailable(_unavailable(code, details, target))


@contextmanager
def understood(target: AggregatorTarget) -> Iterator[None]:
    """Say of an answer that can't be read in here whose it is.

    Raises:
        Unavailable: It can't be read.
    """
    try:
        yield
    except (ValueError, InvalidOperation) as error:
        what = f"the aggregator at {target.address} answered what can't be read: {error}"
        raise Unavailable(what) from error


def _unknown_token(target: AggregatorTarget, details: str) -> str:
    if target.token_file is None:
        return (
            f"the aggregator at {target.address} asks for a token: put the name of its file "
            "into REMORA_AGGREGATOR_TOKEN_FILE"
        )
    said = f" ({details})" if details else ""
    return (
        f"the aggregator at {target.address} does not know the token in {target.token_file}{said}"
    )


def _unavailable(code: grpc.StatusCode, details: str, target: AggregatorTarget) -> str:
    where = target.address
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return _unreachable(details, target)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"the aggregator at {where} did not answer in time"
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return f"the aggregator at {where} is asked for too much at once: {details}; try later"
        case grpc.StatusCode.CANCELLED:
            return f"the aggregator at {where} ended the call"
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"{where} is no aggregator of this version: it does not know the question"
        case _:
            return f"the aggregator at {where} failed ({code.name.lower()}): {details}"


def _unreachable(details: str, target: AggregatorTarget) -> str:
    where = target.address
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return f"the certificate of {where} is not trusted: {_name_root(target)}"
    if "Hostname Verification" in details:
        return f"the certificate of {where} is for another name: use a name that it was made for"
    if "security handshaker" in details:
        return f"{target.ca_file} holds no usable certificate"
    if "resolv" in details or "lookup" in details:
        return f"the name of the aggregator {where} can't be resolved: check REMORA_AGGREGATOR"
    return f"no aggregator answers at {where}{_advice(details, target)}"


def _name_root(target: AggregatorTarget) -> str:
    if target.ca_file is None:
        return "put the file of the root that signed it into REMORA_AGGREGATOR_CA"
    return f"it was not signed by the root in {target.ca_file}"


def _advice(details: str, target: AggregatorTarget) -> str:
    if "Socket closed" in details and not target.is_secure:
        return " in the clear; if it speaks TLS, put the file of its root into REMORA_AGGREGATOR_CA"
    if is_on_this_machine(target.address):
        return "; start one with `remora aggregator`, or name another in REMORA_AGGREGATOR"
    return "; check REMORA_AGGREGATOR, and that it runs and can be reached from here"

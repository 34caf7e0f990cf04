"""A client's request on its way: to the first model that answers, and the answer back."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import aiohttp
from aiohttp import web

from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.dialects.rewriting import with_model
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.refusal import upstream_failed
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.openai_api.asked import Asked
from remora_sidecar.openai_api.block import Block, PriceCall, block_of, with_block
from remora_sidecar.openai_api.carried import CarriedCalls
from remora_sidecar.openai_api.client_key import ClientKey
from remora_sidecar.openai_api.failures import moves_on
from remora_sidecar.openai_api.health import Health
from remora_sidecar.openai_api.plan import Leg, Plan
from remora_sidecar.openai_api.returned import client_headers, errors_for_clients
from remora_sidecar.openai_api.stream_end import Event, Events, StreamEnd
from remora_sidecar.openai_api.way import OwnWay, sent_headers

MAX_HELD_BYTES: Final = 32 * 1024 * 1024
"""A larger answer goes on as it is, without a block."""

_ABOUT_THE_REQUEST: Final = frozenset({400, 422})
"""Failures that say nothing of how a model is."""

_MAX_OPENING_BYTES: Final = 64 * 1024
"""So much of a stream is held before its first output, while another model could be tried."""


class Cut(Exception):
    """The provider's answer ended before its end."""


class Moved(Exception):
    """A model gave no answer that counts, and there is another."""


@dataclass(slots=True)
class Passage:
    """One request on its way.

    Attributes:
        request: The client's.
        key: Whose it is.
        spent_usd: On models that failed; None if unknown.
    """

    request: web.Request
    asked: Asked
    plan: Plan
    key: ClientKey
    spent_usd: Decimal | None = Decimal(0)


class Carrying:
    """Sends planned requests, and hands their answers on."""

    def __init__(
        self, parts: EngineParts, way: OwnWay, calls: CarriedCalls, price: PriceCall
    ) -> None:
        """Take what carries requests.

        Args:
            parts: Of the engine.
            way: To its proxy.
            calls: Tells what calls came to.
            price: Prices a usage.
        """
        self._parts = parts
        self._way = way
        self._calls = calls
        self._price = price
        self._health = Health(parts)

    async def carry(
        self, request: web.Request, asked: Asked, plan: Plan, key: ClientKey
    ) -> web.StreamResponse | Refusal:
        """Try the plan's models until one answers; that of the last goes on, whatever it is."""
        passage = Passage(request, asked, plan, key)
        with self._calls.awaited():
            for leg in plan.legs[:-1]:
                try:
                    return await self._try(passage, leg, is_last=False)
                except Moved:
                    continue
            try:
                return await self._try(passage, plan.legs[-1], is_last=True)
            except Cut:
                provider = plan.legs[-1].provider.name
                return upstream_failed(f"{provider} ended its answer before its end", "cut")

    async def _try(
        self, passage: Passage, leg: Leg, *, is_last: bool
    ) -> web.StreamResponse | Refusal:
        async with self._sent(passage, leg, is_last=is_last) as answer:
            if isinstance(answer, Refusal):
                return answer
            if answer.status == 200 and answer.content_type == "text/event-stream":
                return await self._stream(passage, leg, answer, is_last=is_last)
            return await self._whole(passage, leg, answer, is_last=is_last)

    @asynccontextmanager
    async def _sent(
        self, passage: Passage, leg: Leg, *, is_last: bool
    ) -> AsyncIterator[aiohttp.ClientResponse | Refusal]:
        asked, key = passage.asked, passage.key
        changed = with_model(asked.surface.dialect, asked.surface.path, asked.body, leg.model)
        may_carry = self._may_carry(passage, leg)
        headers = sent_headers(
            list(passage.request.headers.items()), leg.provider, asked.surface,
            key.text if may_carry else None, _stated(passage),
        )  # fmt: skip
        session_id = key.session.session_id if key.session.is_named else ""
        try:
            answer = await self._way.post(
                leg.provider,
                asked.surface,
                asked.body if changed is None else changed.body,
                headers,
                session_id,
            )
        except (aiohttp.ClientError, OSError) as error:
            if not is_last:
                raise Moved from error
            what = f"{leg.provider.name} could not be asked: {type(error).__name__}"
            yield upstream_failed(what, "connection")
            return
        async with answer:
            yield answer

    def _may_carry(self, passage: Passage, leg: Leg) -> bool:
        plan = self._parts.policy.rulebook.key_plan(leg.provider)
        was_named = not passage.asked.is_auto
        may_go = passage.key.may_go_to(leg.provider.name, was_named=was_named)
        return may_go and not plan.strip

    # whole answers

    async def _whole(
        self, passage: Passage, leg: Leg, answer: aiohttp.ClientResponse, *, is_last: bool
    ) -> web.StreamResponse:
        call_id = answer.headers.get("remora-call-id", "")
        try:
            body, is_whole = await _read(answer)
        except Cut as error:
            self._count(passage, leg, call_id)
            if is_last:
                raise
            raise Moved from error
        if moves_on(answer.status, parse_json(body)):
            self._count(passage, leg, call_id, is_fault=answer.status not in _ABOUT_THE_REQUEST)
            if not is_last:
                raise Moved
        if not is_whole:
            return await self._too_large(passage, answer, body)
        if not 200 <= answer.status < 300:
            return errors_for_clients(answer, body)
        block = self._block(passage, leg, call_id)
        headers = {**client_headers(answer), **block.headers}
        return web.Response(body=with_block(body, block), headers=headers)

    async def _too_large(
        self, passage: Passage, answer: aiohttp.ClientResponse, held: bytes
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=client_headers(answer))
        with _cut_alike(passage.request):
            await response.prepare(passage.request)
            await response.write(held)
            async for chunk in _cut_as_cut(answer):
                await response.write(chunk)
            await response.write_eof()
        return response

    # streams

    async def _stream(
        self, passage: Passage, leg: Leg, answer: aiohttp.ClientResponse, *, is_last: bool
    ) -> web.StreamResponse:
        call_id = answer.headers.get("remora-call-id", "")
        events, end = Events(), StreamEnd()
        arriving = _events(answer, events)
        opening = [] if is_last else await self._opening(passage, leg, arriving, call_id)
        headers = client_headers(answer)
        if not self._parts.policy.rulebook.rules.routes:  # else another may be sent to
            headers["X-KairosRoute-Provider"] = leg.provider.name
        response = web.StreamResponse(headers=headers)
        with _cut_alike(passage.request):
            await response.prepare(passage.request)
            if data := b"".join(map(end.take, opening)):
                await response.write(data)
            async for event in arriving:
                if data := end.take(event):
                    await response.write(data)
            if data := end.finish(self._block(passage, leg, call_id)):
                await response.write(data)
            await response.write_eof()
        return response

    async def _opening(
        self, passage: Passage, leg: Leg, arriving: AsyncIterator[Event], call_id: str
    ) -> list[Event]:
        """Read up to the first output; a failure before it lets the next model be tried."""
        held: list[Event] = []
        try:
            async for event in arriving:
                if event.is_error:
                    self._count(passage, leg, call_id)
                    raise Moved
                held.append(event)
                size = sum(len(one.raw) for one in held)
                if event.has_output or event.is_of_end or size > _MAX_OPENING_BYTES:
                    return held
        except Cut as error:
            self._count(passage, leg, call_id)
            raise Moved from error
        if not held:
            raise Moved
        return held

    # what it came to

    def _count(self, passage: Passage, leg: Leg, call_id: str, *, is_fault: bool = True) -> None:
        """Count what a model that failed has cost, and that it failed."""
        told = self._calls.of(call_id)
        if is_fault:
            self._health.tell(leg, told, failed=True)
        cost = None if told is None else told.cost_usd
        known = passage.spent_usd is not None and cost is not None
        passage.spent_usd = passage.spent_usd + cost if known else None  # type: ignore[operator]

    def _block(self, passage: Passage, leg: Leg, call_id: str) -> Block:
        told = self._calls.of(call_id)
        self._health.tell(leg, told, failed=False)
        return block_of(passage.plan, leg, told, passage.spent_usd, self._price)


@contextmanager
def _cut_alike(request: web.Request) -> Iterator[None]:
    """Cut the client's connection where the provider's was, so that nobody takes a part for all.

    One that has gone by itself is let go.
    """
    try:
        yield
    except (Cut, ConnectionError):
        if request.transport is not None:
            request.transport.abort()


def _stated(passage: Passage) -> dict[str, str]:
    stated = {}
    if passage.asked.task_id:
        stated["remora-task"] = passage.asked.task_id
    if passage.plan.goal and passage.asked.is_auto:
        stated["remora-goal"] = passage.plan.goal
    return stated


async def _read(answer: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """Read an answer up to a bound; says whether that is all of it."""
    held = bytearray()
    async for chunk in _cut_as_cut(answer):
        held += chunk
        if len(held) > MAX_HELD_BYTES:
            return bytes(held), False
    return bytes(held), True


async def _cut_as_cut(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise Cut from error


async def _events(answer: aiohttp.ClientResponse, events: Events) -> AsyncIterator[Event]:
    async for chunk in _cut_as_cut(answer):
        for event in events.feed(chunk):
            yield event
    for event in events.rest():
        yield event

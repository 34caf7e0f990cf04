"""OpenAI's API on the control listener, made of a sidecar's parts."""

from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

from remora.records import Usage
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.openai_api.api import OpenAIApi
from remora_sidecar.openai_api.block import PriceCall
from remora_sidecar.openai_api.capability_file import CAPABILITIES_FILE, CapabilityFile
from remora_sidecar.openai_api.carried import CarriedCalls
from remora_sidecar.openai_api.carrying import Carrying
from remora_sidecar.openai_api.offers import Offers
from remora_sidecar.openai_api.way import OwnWay
from remora_sidecar.signals.own_calls import Way


def open_openai_api(stack: AsyncExitStack, parts: EngineParts, way: Way, folder: Path) -> OpenAIApi:
    """Make it.

    Args:
        stack: Ends it.
        parts: Of the engine; their recorder tells of calls from now on.
        way: To the sidecar's own proxy.
        folder: Where a namespace's meanings of capabilities are kept.
    """
    own_way = OwnWay(way.proxy, way.root_pem)
    stack.push_async_callback(own_way.aclose)
    calls = CarriedCalls()
    parts.recorder.listeners.append(calls.take)
    capabilities = CapabilityFile(folder / CAPABILITIES_FILE)
    offers = Offers(parts, lambda: capabilities.overrides)
    carrying = Carrying(parts, own_way, calls, _price(parts, offers))
    return OpenAIApi(parts, offers, carrying, capabilities)


def _price(parts: EngineParts, offers: Offers) -> PriceCall:
    def price(provider_name: str, model: str, usage: Usage) -> Decimal | None:
        provider = offers.provider(provider_name)
        price_id = None if provider is None else provider.price_id
        cost = parts.prices.cost(price_id, model, usage, parts.clock.now_unix_ns())
        return None if cost is None else cost.total_usd

    return price

"""Bodies of requests of any size that calls may have, which control calls may not."""

import aiohttp

from remora_sidecar.model.refusal import Refusal


async def held_body(content: aiohttp.StreamReader, limit_bytes: int) -> bytes | Refusal:
    """Read a body whole; a refusal if it is too large."""
    held = bytearray()
    async for chunk in content.iter_any():
        held += chunk
        if len(held) > limit_bytes:
            what = f"the body is larger than {limit_bytes} bytes, past which it can't be read"
            return Refusal(413, "invalid_request_error", "BODY_TOO_LARGE", what)
    return bytes(held)

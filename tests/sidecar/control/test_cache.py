"""Control calls about the cache."""

import pytest

from remora_sidecar.settings import format_address

PATHS = ["/cache/flush", "/cache/clear"]


async def _post(controlled, path, **headers):
    url = f"http://{format_address(controlled.sidecar.control)}{path}"
    async with controlled.client.post(url, headers=headers) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("path", PATHS)
async def test_flush_and_clear_answer_as_the_tracker_expects(controlled, path):
    assert await _post(controlled, path) == (204, "")


@pytest.mark.parametrize("path", PATHS)
async def test_web_pages_change_nothing(controlled, path):
    status, _ = await _post(controlled, path, Origin="https://example.com")
    assert status == 403


async def test_the_owner_reads_that_there_is_no_cache(controlled):
    status, _ = await controlled.call("GET", "/v1/cache")
    assert status == 401
    told = await controlled.call("GET", "/v1/cache", headers=controlled.admin)
    assert told == (200, {"enabled": False, "levels": {}})

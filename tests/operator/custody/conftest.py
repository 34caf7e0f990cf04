"""A cluster by a clock that moves when told."""

from datetime import UTC, datetime

import pytest
from tests.operator.custody.staging import running_cluster

from remora.testing.clock import NANOSECONDS, ManualClock


@pytest.fixture
async def cluster():
    # The real day, for TLS handshakes go by the machine's clock.
    today = int(datetime.now(UTC).timestamp())
    async with running_cluster(ManualClock(today * NANOSECONDS)) as made:
        yield made

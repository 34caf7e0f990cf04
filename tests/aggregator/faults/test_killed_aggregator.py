"""`kill -9` of an aggregator in the middle of its work, again and again, and a network that fails.

Long form: ``REMORA_FAULT_KILLS=200 pytest -s tests/aggregator/faults``; it prints its figures.
"""

import asyncio

from tests.aggregator.faults.load import fleet_of, say, under_load
from tests.aggregator.faults.replica import replica


async def test_nothing_acknowledged_is_lost_nor_anything_stored_twice(tmp_path, chance, kills):
    async with replica(tmp_path / "aggregator") as server:
        await asyncio.to_thread(server.start)
        fleet = fleet_of([server.address], tmp_path, chance)

        async def fail():
            for _ in range(kills):
                await fleet.more(chance.randrange(1, 200))
                if chance.random() < 0.4:
                    server.relay.cut(chance, 0.5)
                    await asyncio.sleep(chance.random() / 10)
                await server.restarted()
            await fleet.more(50)

        await under_load(fleet, fail, server.address)
        say(fleet, kills=server.kills, cuts=server.relay.cuts)
        assert server.kills == kills
        assert fleet.sent_again


async def test_a_network_that_fails_loses_nothing(tmp_path, chance, kills):
    async with replica(tmp_path / "aggregator") as server:
        await asyncio.to_thread(server.start)
        fleet = fleet_of([server.address], tmp_path, chance)

        async def fail():
            for _ in range(2 * kills):
                await fleet.more(chance.randrange(1, 100))
                how = chance.choice(["cut", "stall", "stall and cut", "part"])
                if how == "cut":
                    server.relay.cut(chance, 0.5)
                elif how == "part":
                    async with server.relay.parted():
                        await asyncio.sleep(chance.random() / 5)
                else:
                    async with server.relay.stalled():
                        await asyncio.sleep(chance.random() / 2)
                        server.relay.cut(chance, 0.7 if how == "stall and cut" else 0)

        await under_load(fleet, fail, server.address)
        say(fleet, cuts=server.relay.cuts)
        assert server.relay.cuts

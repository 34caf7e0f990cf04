"""Records that somebody looks for among those that wait, without a trace of it in delivery."""

import sqlite3


def ids(messages):
    return [int(message.call_id, 16) for message in messages]


async def test_what_is_looked_for_is_found_and_still_delivered(open_spool, make_record, drain):
    spool = open_spool()
    for number in range(5):
        spool.append(make_record(number, body_bytes=1000))
    handed_out = await spool.batch(2, 1 << 20)

    found = await spool.find(lambda message: int(message.call_id, 16) % 2 == 1)

    assert ids(found) == [1, 3]
    assert not any(message.HasField("request_body") for message in found)
    assert ids(one.message for one in handed_out) == [0, 1]
    assert ids(one.message for one in await drain(spool)) == [2, 3, 4]
    assert spool.depth == 5


async def test_a_row_that_is_no_record_is_passed_over(open_spool, make_record, tmp_path):
    spool = open_spool()
    spool.append(make_record(7))
    with sqlite3.connect(tmp_path / "data" / "spool.sqlite") as connection:
        connection.execute("INSERT INTO records VALUES (99, x'ff', NULL)")
    connection.close()

    assert ids(await spool.find(lambda message: True)) == [7]
    assert spool.refused_total == 0


async def test_a_spool_without_a_file_finds_nothing(open_spool, make_record, tmp_path):
    (tmp_path / "data" / "spool.sqlite").mkdir(parents=True)
    spool = open_spool()
    spool.append(make_record(1))

    assert await spool.find(lambda message: True) == []

"""One turn of the loop does the work of all who came in it, whatever becomes of one of them."""

import asyncio

import pytest

from api.loops.ticks import TickBatcher


def test_what_comes_in_one_turn_is_done_at_once():
    done = []

    async def come():
        turn = TickBatcher(done.append)
        await asyncio.gather(*(turn.add(n) for n in range(3)))
        await turn.add(3)

    asyncio.run(come())
    assert done == [[0, 1, 2], [3]]


def test_all_who_take_part_learn_what_went_wrong():
    def refuse(items):
        raise OSError(f"{len(items)} not written")

    async def come():
        turn = TickBatcher(refuse)
        return await asyncio.gather(turn.add(1), turn.add(2), return_exceptions=True)

    assert [str(error) for error in asyncio.run(come())] == ["2 not written"] * 2


def test_one_who_is_cancelled_takes_nobody_with_him():
    done = []

    async def come():
        turn = TickBatcher(done.append)

        async def take_part(n):
            await turn.add(n)
            return n

        tasks = [asyncio.create_task(take_part(n)) for n in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third = asyncio.run(come())
    assert (first, third) == (0, 2)
    assert isinstance(second, asyncio.CancelledError)
    assert done == [[0, 1, 2]]


def test_the_end_of_a_turn_is_not_a_participants_to_cancel():
    async def come():
        turn = TickBatcher(lambda _: None)
        end = turn.add(1)
        assert not end.cancel()
        await end
        with pytest.raises(asyncio.InvalidStateError):
            end.set_result(None)

    asyncio.run(come())

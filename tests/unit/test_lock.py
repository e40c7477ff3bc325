"""The machine-wide measuring lock: who holds it for good is told from who measures."""

from __future__ import annotations

import asyncio

import pytest

from toposcope.errors import BusyError
from toposcope.measure import lock
from toposcope.measure.lock import Patience


async def _hold_twice(name: str) -> list[str]:
    waits: list[str] = []
    async with lock.measuring_lock(name=name), lock.measuring_lock(lambda: waits.append("x"), name=name):
        raise AssertionError("two held it")
    return waits


def test_one_that_is_held_for_good_is_an_error_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "WAIT_S_MAX", 0.05)
    with pytest.raises(BusyError, match="another process has been measuring for"):
        asyncio.run(_hold_twice("\0toposcope.test-lock"))


def test_the_next_one_gets_it_as_soon_as_it_is_free() -> None:
    async def take_turns() -> list[int]:
        order: list[int] = []

        async def hold(number: int) -> None:
            async with lock.measuring_lock(name="\0toposcope.test-turns"):
                order.append(number)
                await asyncio.sleep(0.02)

        await asyncio.gather(*(hold(number) for number in range(3)))
        return order

    assert sorted(asyncio.run(take_turns())) == [0, 1, 2]


def test_a_daemon_measures_beside_who_keeps_the_lock_once_its_patience_is_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock, "WAIT_S_MAX", 0.05)
    name = "\0toposcope.test-patience"
    patience = Patience()

    async def visit() -> None:
        async with lock.measuring_lock(name=name, patience=patience):
            pass

    async def live() -> None:
        async with lock.measuring_lock(name=name):
            await visit()
            assert patience.is_out
            begin_s = asyncio.get_running_loop().time()
            await visit()
            assert asyncio.get_running_loop().time() - begin_s < 0.05, "waited as long again"
        await visit()
        assert not patience.is_out, "the lock was free"

    asyncio.run(live())


def test_patience_comes_back_with_time_and_ends_at_its_limit() -> None:
    """Who frees the lock once in a while, just in time, gets a tenth of the daemon's time."""
    patience, now_s, waited_s = Patience(), 0.0, 0.0
    while now_s < 100_000:
        left_s = patience.left_s(now_s)
        waited_s += left_s
        now_s += left_s
        patience.left_s(now_s)
        patience.spend(left_s, in_vain=False)
        now_s += 1.0  # a visit
    assert waited_s < lock.WAIT_S_MAX + 0.12 * now_s
    assert patience.left_s(now_s + 1e6) == lock.WAIT_S_MAX

"""The machine-wide measuring lock: who holds it for good is told from who measures."""

from __future__ import annotations

import asyncio

import pytest

from toposcope.errors import BusyError
from toposcope.measure import lock


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

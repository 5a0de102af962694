"""How many requests go out at once, and in what order."""

import asyncio
from collections.abc import Callable

import pytest

from app.services.lanes import FIRST, Lanes, Request

MOST = 64


class Partner:
    """Requests that are answered when the test says so."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.started: list[int] = []
        self._open: dict[int, asyncio.Event] = {}

    def requests(self, *numbers: int) -> list[Request]:
        return [self._request(number) for number in numbers]

    def _request(self, number: int) -> Callable[[], "asyncio.Future[None]"]:
        async def request() -> None:
            self.started.append(number)
            self._open[number] = asyncio.Event()
            await self._open[number].wait()
            self.lanes.answered()

        return lambda: asyncio.ensure_future(request())

    async def answer(self, *numbers: int) -> None:
        for number in numbers:
            self._open[number].set()
        await turns()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def grown(lanes: Lanes) -> Lanes:
    """Lanes of a partner in health, which usually takes a tenth of a second."""
    while lanes.limit < MOST:
        well(lanes, lanes.limit)
    return lanes


def well(lanes: Lanes, answers: int, seconds: float = 0.1) -> None:
    for _ in range(answers):
        lanes.answered()
    lanes.learn(answers, good=answers, seconds=seconds)


async def room_at_once(lanes: Lanes) -> int | None:
    try:
        return await asyncio.wait_for(lanes.room(), 0.01)
    except TimeoutError:
        return None


async def test_few_go_first_and_nothing_more_before_what_came_back_is_learnt_from() -> None:
    """P6: a partner in trouble meets few requests."""
    lanes = Lanes(MOST, reads_ahead=True)
    partner = Partner(lanes)
    assert await lanes.room() == FIRST
    lanes.put(partner.requests(*range(FIRST)))
    await turns()
    assert await room_at_once(lanes) is None
    await partner.answer(*range(FIRST))
    assert await room_at_once(lanes) is None, "nobody knows yet what the partner said"
    lanes.learn(FIRST, bad=FIRST, seconds=0.1)
    assert await room_at_once(lanes) == FIRST // 2


async def test_good_answers_double_the_lanes_up_to_all_and_bad_ones_halve_them_down_to_one() -> None:
    lanes = Lanes(MOST, reads_ahead=True)
    limits = []
    for _ in range(6):
        well(lanes, lanes.limit)
        limits.append(lanes.limit)
    assert limits == [8, 16, 32, 64, 64, 64]
    for _ in range(8):
        lanes.learn(0, bad=1)
    assert lanes.limit == 1


async def test_while_all_is_calm_as_many_again_wait_for_a_lane_and_start_in_order() -> None:
    lanes = grown(Lanes(MOST, reads_ahead=True))
    partner = Partner(lanes)
    assert await lanes.room() == 2 * MOST
    lanes.put(partner.requests(*range(2 * MOST)))
    await turns()
    assert partner.started == list(range(MOST))
    await partner.answer(7, 3)
    assert partner.started == list(range(MOST + 2))
    assert await room_at_once(lanes) is None, "a few at a time are not worth the while"
    await partner.answer(*(number for number in range(MOST // 2) if number not in {3, 7}))
    assert await room_at_once(lanes) == MOST // 2


@pytest.mark.parametrize("answers", [{"good": 3, "bad": 1}, {"good": 3}], ids=["bad", "refused login"])
async def test_one_answer_that_is_not_good_ends_the_reading_ahead(answers: dict[str, int]) -> None:
    lanes = grown(Lanes(MOST, reads_ahead=True))
    for _ in range(4):
        lanes.answered()
    lanes.learn(4, **answers, seconds=0.1)
    assert not lanes.calm
    assert await lanes.room() == MOST


async def test_without_reading_ahead_no_more_is_put_than_can_start() -> None:
    lanes = grown(Lanes(MOST, reads_ahead=False))
    partner = Partner(lanes)
    assert await lanes.room() == MOST
    lanes.put(partner.requests(*range(MOST)))
    await turns()
    await partner.answer(0)
    assert await room_at_once(lanes) == 1


async def test_lanes_are_given_up_once_per_answer_time_while_answers_take_far_longer_than_usual() -> None:
    lanes = grown(Lanes(MOST, reads_ahead=True))
    well(lanes, 10, seconds=2.0)
    assert lanes.limit == 48
    well(lanes, 10, seconds=2.0)
    assert lanes.limit == 48, "the same slow moment counts once"


async def test_a_partner_that_stays_slow_gets_its_lanes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = grown(Lanes(MOST, reads_ahead=True))
    loop, now = asyncio.get_running_loop(), 0.0
    monkeypatch.setattr(loop, "time", lambda: now)
    limits = []
    for _ in range(100):
        now += 3.0
        well(lanes, 10, seconds=2.0)
        limits.append(lanes.limit)
    assert min(limits) < MOST // 4
    assert limits[-1] == MOST


@pytest.mark.parametrize("seconds", [0.004, 0.3])
async def test_a_little_longer_than_usual_costs_no_lane(seconds: float) -> None:
    """Twice as long as very short is short: on a busy machine that is our own doing."""
    lanes = Lanes(MOST, reads_ahead=True)
    for _ in range(5):
        well(lanes, 100, seconds=0.001 if seconds < 0.1 else 0.2)
    well(lanes, 10, seconds=seconds)
    assert lanes.limit == MOST


async def test_lanes_that_were_given_up_end_as_their_requests_do() -> None:
    lanes = grown(Lanes(MOST, reads_ahead=True))
    partner = Partner(lanes)
    lanes.put(partner.requests(*range(2 * MOST)))
    await turns()
    lanes.learn(0, bad=1)
    await partner.answer(*range(MOST // 2))
    assert len(partner.started) == MOST
    await partner.answer(MOST // 2)
    assert len(partner.started) == MOST + 1

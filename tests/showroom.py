"""A week of a chain, for the console to show: every state, and something on every page.

Real services and a simulated partner, on a clock that is moved from hour to hour: the same figures come out on any day
and on any machine.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import update

from app.core.clock import VIETNAM
from app.core.config import load_settings
from app.db.engine import writing
from app.db.migrate import upgrade
from app.db.source import create_source_tables
from app.db.tables import attempt
from app.demo.sample_data import SampleDocument, generate
from app.demo.show import insert_documents
from app.documents import ALL_KINDS, DocumentKind
from app.domain.deliveries import Selection
from app.domain.replays import Pace
from app.domain.states import State
from app.domain.users import Role
from app.services.replay import Action
from app.wiring import Gateway
from simulator.process import SimulatorHandle, running_simulator
from tests.clocks import SettableClock

PASSWORD = "một mật khẩu dài"
NOW = datetime(2026, 11, 20, 15, 20, tzinfo=VIETNAM)
DAYS = 8
OPENING_HOURS = range(7, 22)
CLOSED_ACCOUNT = "HP-LC-231"
NOT_LISTED = "Thuốc T000123 chưa có trong danh mục của cơ sở"
INCIDENT = "Danh mục thuốc thiếu ngày 18/11"

Arrivals = dict[datetime, list[tuple[DocumentKind, SampleDocument]]]


@contextmanager
def showroom(folder: Path, *, per_kind: int = 400) -> Iterator[Gateway]:
    """The gateway after that week. `per_kind` documents of a month are made up, of which the last days arrive."""
    clock = SettableClock(NOW - timedelta(days=DAYS))
    with running_simulator(stderr=folder / "partner.log") as partner:
        settings = {
            "source_database_url": f"sqlite:///{folder / 'show.db'}",
            "api_base_url": partner.url,
            "api_username": partner.username,
            "api_password": partner.password,
            "send_concurrency": 1,  # the partner numbers what it accepts in the order of arrival
            "grace_seconds": 0,
            "unknown_outcome_policy": "hold",
        }
        gateway = Gateway(load_settings(**settings), clock=clock)
        upgrade(gateway.engine)
        create_source_tables(gateway.engine)
        for name, role in (("lan", Role.ADMIN), ("minh", Role.OPERATOR), ("thanh.tra", Role.VIEWER)):
            gateway.access.add(name, role, PASSWORD, who="lan")
        gateway.tokens.create("minh", Role.VIEWER, "báo cáo hằng ngày", days=365, who="lan")
        with ThreadPoolExecutor(1) as beside:  # this thread may have an event loop already: a browser's
            beside.submit(asyncio.run, _Week(gateway, clock, partner, per_kind).live()).result()
    shown = Gateway(load_settings(**settings), clock=clock)
    yield shown
    shown.engine.dispose()


class _Week:
    """What happens, hour by hour."""

    def __init__(self, gateway: Gateway, clock: SettableClock, partner: SimulatorHandle, per_kind: int) -> None:
        self._gateway = gateway
        self._clock = clock
        self._partner = partner
        self._arrivals = _arrivals(per_kind)

    async def live(self) -> None:
        """From the first hour to the last."""
        gateway = self._gateway
        for chance in (gateway._judge.random, gateway.gate._random):
            chance.seed(1)  # the same delays each time
        for hour in sorted(self._arrivals):
            self._set_time(hour)
            self._misbehave(hour)
            self._bring(self._arrivals[hour])
            await self._deliver()
        self._set_time(NOW - timedelta(minutes=5))
        self._people_act()
        for minutes in (4, 3, 2):
            self._set_time(NOW - timedelta(minutes=minutes))
            await self._deliver()
        self._set_time(NOW)
        self._leave_some_behind()
        with writing(gateway.engine) as connection:  # what a machine's speed would make differ
            connection.execute(update(attempt).values(duration_ms=48))
        await gateway.close()

    def _set_time(self, moment: datetime) -> None:
        self._clock.move(seconds=(moment - self._clock.now()).total_seconds())

    def _misbehave(self, hour: datetime) -> None:
        rules: list[dict[str, Any]] = [
            {"fault": "status", "status": 401, "facility": CLOSED_ACCOUNT, "body": {"mess": "Tài khoản đã bị khóa"}}
        ]
        if hour.date() < NOW.date() or hour.hour < 9:
            rules = []
        rules += [{"fault": "empty-200", "kind": "hoa_don", "code_regex": ".*-20261120-0000(30|44)"}]
        if hour.date() == NOW.date() - timedelta(days=2):
            rules += [{"fault": "status", "status": 422, "rate": 0.35, "body": {"mess": NOT_LISTED}}]
        if hour.date() == NOW.date() - timedelta(days=1) and hour.hour in (10, 11):
            rules += [{"fault": "status", "status": 500, "rate": 0.8, "body": {"mess": "Lỗi hệ thống"}}]
        if hour.date() == NOW.date() and hour.hour == 15:
            rules += [{"fault": "status", "status": 500, "rate": 0.5, "body": {"mess": "Lỗi hệ thống"}}]
        self._partner.set_faults(rules)

    def _bring(self, arrived: Sequence[tuple[DocumentKind, SampleDocument]]) -> None:
        for kind in ALL_KINDS:
            insert_documents(self._gateway, kind, (each for which, each in arrived if which is kind))

    async def _deliver(self) -> None:
        for kind in ALL_KINDS:
            for codes in self._gateway.scan.due(kind):
                await self._gateway.deliver.run(kind, codes)

    def _people_act(self) -> None:
        gateway = self._gateway
        listed = [each for each in gateway.refusals.groups().groups if "danh mục" in each.message]
        gateway.replays.create(
            INCIDENT, Selection(cause=listed[0].cause), Pace(per_minute=2), who="minh", why="Đối tác đã thêm thuốc"
        )
        parked = gateway.ledger.page(Selection(state=State.WAITING), ("", ""), 1)[0]
        gateway.replay.run(
            Action.PARK, Selection(parked.kind, (parked.code,)), who="minh", why="Chờ nhà cung cấp đổi hóa đơn"
        )
        gateway.audit.note(
            who="lan", action="names", kind=parked.kind, code=parked.code, why="Đối chiếu với sổ bán hàng"
        )

    def _leave_some_behind(self) -> None:
        """Documents that no scan has taken up yet, and some that ask for none."""
        for number, kind in enumerate(ALL_KINDS):
            late = list(generate(kind.name, 5 + number, seed=7, today=NOW.date(), defect_every=0))
            insert_documents(self._gateway, kind, iter(late))
            with writing(self._gateway.engine) as connection:
                connection.execute(
                    update(kind.header).where(kind.code == late[0].header[kind.code_column]).values(
                        {"status_phieu": 3, kind.date_column: NOW.date() - timedelta(days=1)}
                    )
                )  # fmt: skip


def _arrivals(per_kind: int) -> Arrivals:
    """Which documents of the last days are written at which hour."""
    found: Arrivals = defaultdict(list)
    rng = Random(3)  # noqa: S311  nothing here is secret
    first = NOW.date() - timedelta(days=DAYS - 1)
    for kind in ALL_KINDS:
        for each in generate(kind.name, per_kind, seed=11, today=NOW.date()):
            day = _day(each.header[kind.code_column])
            hour = datetime(day.year, day.month, day.day, rng.choice(OPENING_HOURS), 13, tzinfo=VIETNAM)
            if day >= first:
                found[min(hour, NOW - timedelta(minutes=7))].append((kind, each))
    return found


def _day(code: Any) -> date:
    """The day that a sample document's code names; its date may be missing on purpose."""
    return datetime.strptime(str(code).split("-")[2], "%Y%m%d").replace(tzinfo=UTC).date()

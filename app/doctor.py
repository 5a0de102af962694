"""The doctor: what `hermes check` looks at, in the order a person would mend it."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cached_property, partial

from app.clients.examine_partner import PartnerExamination
from app.core.texts import say
from app.db.examine_mongo import MongoExamination
from app.db.examine_redis import RedisExamination
from app.db.examine_sql import SqlExamination
from app.documents import ALL_KINDS
from app.domain.deliveries import CheckStep
from app.domain.diagnosis import Finding, Verdict, failed, met, skipped
from app.domain.errors import ConfigError, HermesError
from app.main import SCHEDULER_QUEUE
from app.services.checks import Probe, run_checks
from app.services.clocks import compare
from app.wiring import Gateway

_SOURCES = tuple(f"source:{kind.name}" for kind in ALL_KINDS)


class Doctor:
    """Examines everything the settings name. Changes nothing anywhere."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._settings = gateway.settings
        self._well: set[str] = set()

    def examine(self) -> list[CheckStep]:
        """Every step, whatever the others say."""
        return run_checks(self._probes(), self._settings.hermes_lang, self._settings.passwords)

    def _probes(self) -> list[Probe]:
        labels = {kind.name: kind.labels[self._settings.hermes_lang] for kind in ALL_KINDS}
        sources = [
            Probe(f"source:{kind.name}", partial(self._sql.source, kind), ("database",), labels[kind.name])
            for kind in ALL_KINDS
        ]
        write_backs = [
            Probe(
                f"source_writes:{kind.name}",
                partial(self._sql.source_writes, kind),
                (f"source:{kind.name}",),
                labels[kind.name],
            )
            for kind in ALL_KINDS
        ]
        return [
            Probe("configuration", self._configuration),
            Probe("database", partial(self._noting, "database", self._sql.database)),
            Probe("ledger", self._sql.ledger, ("database",)),
            *sources,
            Probe("ledger_writes", self._sql.ledger_writes, ("ledger",)),
            *write_backs,
            Probe("collation", self._sql.collation, ("ledger", *_SOURCES)),
            Probe("indexes", self._sql.indexes, ("ledger", *_SOURCES)),
            Probe("isolation", self._sql.isolation, ("database",)),
            Probe("broker", partial(self._noting, "broker", self._broker)),
            Probe("broker_keeping", self._broker_keeping, ("broker",)),
            Probe("log_store", partial(self._noting, "log_store", self._log_store)),
            Probe("partner", self._partner.partner, ("configuration",)),
            Probe("clock", self._clock),
        ]

    @cached_property
    def _sql(self) -> SqlExamination:
        return SqlExamination(lambda: self._gateway.engine)

    @cached_property
    def _redis(self) -> RedisExamination | None:
        queues = [SCHEDULER_QUEUE, *(kind.queue for kind in ALL_KINDS)]
        return RedisExamination(self._settings, queues) if self._settings.broker_url is not None else None

    @cached_property
    def _mongo(self) -> MongoExamination | None:
        store = self._gateway.log_store
        return MongoExamination(self._settings, store) if store is not None else None

    @cached_property
    def _partner(self) -> PartnerExamination:
        return PartnerExamination(self._gateway.client, self._gateway.clock)

    def _noting(self, key: str, look: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
        """Remember who answered, so that nobody who did not is asked for the time."""
        found = look()
        if all(each.verdict is not Verdict.FAILED for each in found):
            self._well.add(key)
        return found

    def _configuration(self) -> list[Finding]:
        try:
            self._gateway.require_partner()
        except ConfigError as error:
            return [failed("configuration_wrong", detail=error)]
        return [met("configuration", profile=self._gateway.client.profile.name)]

    def _broker(self) -> list[Finding]:
        return [skipped("broker_embedded")] if self._redis is None else self._redis.broker()

    def _broker_keeping(self) -> list[Finding]:
        return [skipped("broker_embedded")] if self._redis is None else self._redis.keeping()

    def _log_store(self) -> list[Finding]:
        return [skipped("log_store_sql")] if self._mongo is None else self._mongo.log_store()

    def _clock(self) -> list[Finding]:
        """A claim that is believed expired too early is sent twice (P2): by half of it clocks may differ at most."""
        asked = {
            "database": (self._sql.now, "SQL Server"),
            "broker": (self._redis.now if self._redis else None, "Redis"),
            "log_store": (self._mongo.now if self._mongo else None, "MongoDB"),
        }
        ahead = {
            name: by
            for key, (ask, name) in asked.items()
            if ask is not None and key in self._well and (by := self._ahead(ask)) is not None
        }
        partner = say(self._settings.hermes_lang, "the_partner")
        if self._partner.ahead is not None:
            ahead[partner] = self._partner.ahead
        return compare(ahead, timedelta(seconds=self._settings.claim_seconds / 2), partner)

    def _ahead(self, ask: Callable[[], datetime | None]) -> timedelta | None:
        """By how much somebody's clock is ahead of ours, half the way of the answer allowed for."""
        before = self._gateway.clock.now()
        try:
            theirs = ask()
        except HermesError:
            return None
        after = self._gateway.clock.now()
        return None if theirs is None else theirs - (before + (after - before) / 2)

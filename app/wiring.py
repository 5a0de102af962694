"""The one place that chooses concrete adapters. A Gateway is all of Hermes in one process, opened on demand."""

import asyncio
import gc
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property, partial
from threading import Event
from typing import Any

from sqlalchemy import Engine, select

from app.clients.classify import Reply
from app.clients.partner_api_client import PartnerAPIClient, partner_api_client
from app.clients.rate_limit import rate_limit
from app.core.clock import Clock, SystemClock
from app.core.config import Language, Settings, get_settings
from app.core.texts import say
from app.db.attempt_log import SqlAttemptLog
from app.db.audit import SqlAudit
from app.db.circuits import SqlCircuits
from app.db.engine import open_engine, patiently, reading
from app.db.ledger import SqlLedger
from app.db.listing import SqlListing
from app.db.migrate import latest_version, require_current
from app.db.mongodb import COLLECTION, MongoLogStore
from app.db.reconciliation import SqlReconciliation
from app.db.redis import ping
from app.db.refusals import SqlRefusals
from app.db.replays import SqlReplays
from app.db.source import SqlSource
from app.db.tallies import SqlTallies
from app.documents import ALL_KINDS, DocumentKind
from app.domain.decide import UnknownPolicy
from app.domain.errors import ConfigError, ErrorCode, InfrastructureError, Problem
from app.services.bulk import BulkReplays, Pacing
from app.services.checks import Probe
from app.services.deliver import Deliver
from app.services.gate import Gate
from app.services.health import Health
from app.services.lists import Lists
from app.services.numbers import Numbers
from app.services.reconcile import Reconcile
from app.services.refusals import Causes
from app.services.replay import Replay
from app.services.rescue import Rescue
from app.services.scan import Scan, ScanLimits
from app.services.settling import Judge
from app.services.ship import Ship
from app.services.story import Stories


class Gateway:
    """The services, wired to what the settings name. Nothing is opened before it is used; `close` closes it."""

    def __init__(
        self, settings: Settings, *, client: PartnerAPIClient | None = None, clock: Clock | None = None
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.client = client or PartnerAPIClient(lambda: settings, self.clock)
        self.stopping = Event()

    def open(self) -> None:
        """Build what several threads will ask for at once. Raises what `ledger` raises."""
        _ = (self.ledger, self.gate, self.scan, self.ship, self._threads)
        if self.settings.api_base_url is not None:
            _ = self.deliver

    @cached_property
    def engine(self) -> Engine:
        """The database that holds source and ledger."""
        return open_engine(self.settings)

    @cached_property
    def source(self) -> SqlSource:
        """The customer's tables."""
        return SqlSource(self.engine)

    @cached_property
    def ledger(self) -> SqlLedger:
        """Hermes' own tables. Raises SchemaError when they are missing or of another version."""
        require_current(self.engine)
        return SqlLedger(self.engine, self.source, self.clock)

    @cached_property
    def circuits(self) -> SqlCircuits:
        """Who is paused, shared by all processes."""
        return SqlCircuits(self.engine, self.clock)

    @cached_property
    def gate(self) -> Gate:
        """Whether a document may be sent now."""
        return Gate(self.circuits, self.clock, probe_seconds=self.settings.claim_seconds)

    @cached_property
    def attempt_log(self) -> SqlAttemptLog:
        """The detailed log while it is in SQL."""
        return SqlAttemptLog(self.engine)

    @cached_property
    def log_store(self) -> MongoLogStore | None:
        """The detailed log's database, where one is configured."""
        return MongoLogStore(self.settings) if self.settings.mongo_uri is not None else None

    @cached_property
    def scan(self) -> Scan:
        """Finds what has to be sent."""
        limits = ScanLimits(
            batch=self.settings.documents_per_batch,
            queued=self.settings.max_queued,
            reoffer_after=timedelta(seconds=self.settings.reoffer_after_seconds),
        )
        pacing = Pacing(SqlReplays(self.engine, self.clock), self.clock)
        return Scan(self.ledger, self._rescue, pacing, self.gate, self.clock, limits)

    @cached_property
    def deliver(self) -> Deliver:
        """Sends. Raises ConfigError when the partner is not configured."""
        self.require_partner()
        _spare_the_collector()
        return Deliver(
            self.ledger,
            self.source,
            self.client,
            self.client.profile.endpoints,
            self._judge,
            self.gate,
            self.clock,
            concurrency=self.settings.send_concurrency,
            claim_seconds=self.settings.claim_seconds,
            grace_seconds=self.settings.grace_seconds,
            rate_limit=rate_limit(self.settings),
            looks_up=self._looks_up,
            in_thread=self.in_thread,
            stopping=self.stopping,
        )

    @cached_property
    def ship(self) -> Ship:
        """Moves the detailed log on."""
        return Ship(self.attempt_log, self.log_store, self.clock, self.settings.log_retention_days)

    @cached_property
    def replay(self) -> Replay:
        """Carries out operators' actions."""
        return Replay(self.ledger, self.circuits, self.settings.hermes_lang)

    @cached_property
    def health(self) -> Health:
        """Tells how things stand."""
        return Health(self.ledger, self.circuits, self.attempt_log, self.log_store)

    @cached_property
    def audit(self) -> SqlAudit:
        """Who did what; `note` adds what changes nothing in the ledger."""
        require_current(self.engine)
        return SqlAudit(self.engine, self.clock)

    @cached_property
    def lists(self) -> Lists:
        """Lists of deliveries and of the audit, page by page."""
        return Lists(SqlListing(self.engine), self.audit)

    @cached_property
    def stories(self) -> Stories:
        """Everything about one document."""
        return Stories(self.health, self.source, self.client.profile.endpoints, self.settings.hermes_lang)

    @cached_property
    def refusals(self) -> Causes:
        """Why documents are refused, by cause."""
        _ = self.ledger
        return Causes(SqlRefusals(self.engine), self.clock)

    @cached_property
    def numbers(self) -> Numbers:
        """What became of tries, hour by hour."""
        _ = self.ledger
        return Numbers(SqlTallies(self.engine, self.clock), self.clock)

    @cached_property
    def replays(self) -> BulkReplays:
        """Many documents again, after an incident."""
        _ = self.ledger
        return BulkReplays(SqlReplays(self.engine, self.clock))

    @cached_property
    def reconcile(self) -> Reconcile:
        """The source beside the ledger."""
        _ = self.ledger
        return Reconcile(SqlReconciliation(self.engine))

    def probes(self) -> list[Probe]:
        """What `hermes check` looks at, in the order a person would mend it."""
        tables = [
            self._probe(
                "source", partial(self._look_at_source, kind), needs="database", kind=kind.labels[self._language]
            )
            for kind in ALL_KINDS
        ]
        return [
            self._probe("configuration", self._look_at_configuration),
            self._probe("database", self._look_at_database),
            self._probe("ledger", self._look_at_ledger, needs="database"),
            *tables,
            self._probe("broker", self._look_at_broker, "broker_embedded"),
            self._probe("log_store", self._look_at_log_store, "log_store_sql"),
            self._probe("partner", self._look_at_partner),
        ]

    def require_partner(self) -> None:
        """Raise ConfigError when anything needed to talk to the partner is not set."""
        self.settings.require("api_base_url", "api_username", "api_password")
        profile = self.client.profile
        missing = [kind.name for kind in ALL_KINDS if kind.name not in profile.endpoints]
        if missing:
            raise ConfigError(f"PARTNER_PROFILE={profile.name} has no endpoint for: {', '.join(missing)}.")
        if self._looks_up and any(endpoint.lookup_path is None for endpoint in profile.endpoints.values()):
            raise ConfigError(
                f"UNKNOWN_OUTCOME_POLICY=lookup: the partner of PARTNER_PROFILE={profile.name} cannot be asked what "
                "it has. Use resend or hold."
            )

    async def in_thread(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a blocking call beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))

    async def close(self) -> None:
        """Close the partner's connections, then everything else that was opened."""
        await self.client.close()
        opened: Mapping[str, Any] = self.__dict__
        if "_threads" in opened:
            self._threads.shutdown()
        if opened.get("log_store") is not None:
            opened["log_store"].close()
        if "engine" in opened:
            self.engine.dispose()

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        # SQLite takes one writer at a time: threads of ours would only wait for each other.
        sqlite = self.engine.dialect.name == "sqlite"
        return ThreadPoolExecutor(max_workers=1 if sqlite else 4, thread_name_prefix="sql")

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self.settings.retry_policy, self.settings.hermes_lang, self.clock)

    @cached_property
    def _rescue(self) -> Rescue:
        return Rescue(self.ledger, self._judge, self.clock, self.settings.claim_seconds)

    @property
    def _looks_up(self) -> bool:
        return self.settings.unknown_outcome_policy is UnknownPolicy.LOOKUP

    @property
    def _language(self) -> Language:
        return self.settings.hermes_lang

    def _probe(
        self, key: str, look: Callable[[], str | None], absent: str = "", needs: str = "", **values: str
    ) -> Probe:
        return Probe(
            name=say(self._language, f"check_{key}", **values),
            run=look,
            remedy=say(self._language, f"remedy_{key}"),
            absent=say(self._language, absent) if absent else "",
            needs=say(self._language, f"check_{needs}") if needs else "",
            blocked=say(self._language, "check_blocked"),
        )

    def _look_at_configuration(self) -> str:
        self.require_partner()
        return f"PARTNER_PROFILE={self.client.profile.name}"

    @patiently
    def _look_at_database(self) -> str:
        with reading(self.engine) as connection:
            connection.execute(select(1))
        return self.engine.url.render_as_string(hide_password=True)

    def _look_at_ledger(self) -> str:
        require_current(self.engine)
        return latest_version()

    def _look_at_source(self, kind: DocumentKind) -> str:
        missing = self.source.tables(kind).missing_optional
        found = f"{kind.header.name}, {kind.lines.name}"
        if not missing:
            return found
        return f"{found}; {say(self._language, 'columns_missing', columns=', '.join(sorted(missing)))}"

    def _look_at_broker(self) -> str | None:
        url = self.settings.broker_url
        return None if url is None else ping(url, self.settings.broker_timeout_seconds)

    def _look_at_log_store(self) -> str | None:
        if self.log_store is None:
            return None
        self.log_store.ping()
        return f"{self.settings.mongo_db_name}.{COLLECTION}"

    def _look_at_partner(self) -> str:
        self.require_partner()
        reply = asyncio.run(self._ask_partner())
        if isinstance(reply, Problem):
            if reply.code is ErrorCode.CONNECTION_LOST:  # it did take the connection, and nothing says no
                return f"{self.settings.api_base_url}: {say(self._language, 'partner_dumb')}"
            raise InfrastructureError(reply.message)
        if reply.status in {401, 403}:
            raise InfrastructureError(say(self._language, "partner_refuses", status=reply.status))
        if reply.status == 404:
            raise InfrastructureError(say(self._language, "wrong_address", status=reply.status))
        if reply.status in {502, 503, 504}:
            raise InfrastructureError(say(self._language, "partner_unavailable", status=reply.status))
        return f"{self.settings.api_base_url}: {say(self._language, 'partner_answers', status=reply.status)}"

    async def _ask_partner(self) -> Reply | Problem:
        try:
            return await self.client.probe()
        finally:
            await self.client.close()


def _spare_the_collector() -> None:
    """Sending makes many objects and hardly a cycle, and what was imported stays for ever: with Python's defaults, a
    sixth of a sending process's time goes into looking for garbage."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def process_gateway() -> Gateway:
    """A Gateway on this process's settings, talking to the partner through the process's own client."""
    return Gateway(get_settings(), client=partner_api_client)

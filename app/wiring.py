"""The one place that chooses concrete adapters. A Gateway is all of Hermes in one process, opened on demand."""

import asyncio
import gc
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property, partial
from threading import Event
from typing import Any

from sqlalchemy import Engine

from app.clients.partner_api_client import PartnerAPIClient, partner_api_client
from app.clients.rate_limit import rate_limit
from app.core.clock import Clock, SystemClock
from app.core.config import Settings, get_settings, reveal
from app.db.attempt_log import SqlAttemptLog
from app.db.audit import SqlAudit
from app.db.circuits import SqlCircuits
from app.db.engine import open_engine
from app.db.ledger import SqlLedger
from app.db.listing import SqlListing
from app.db.migrate import require_current
from app.db.mongodb import MongoLogStore
from app.db.reconciliation import SqlReconciliation
from app.db.refusals import SqlRefusals
from app.db.replays import SqlReplays
from app.db.source import SqlSource
from app.db.tallies import SqlTallies
from app.db.tokens import SqlTokens
from app.db.users import SqlUsers
from app.documents import ALL_KINDS
from app.domain.decide import UnknownPolicy
from app.domain.errors import ConfigError
from app.services.access import Access
from app.services.bulk import BulkReplays, Pacing
from app.services.deliver import Deliver
from app.services.gate import Gate
from app.services.health import Health
from app.services.lists import Lists
from app.services.measures import Measures
from app.services.numbers import Numbers
from app.services.reconcile import Reconcile
from app.services.refusals import Causes
from app.services.replay import Replay
from app.services.rescue import Rescue
from app.services.scan import Scan, ScanLimits
from app.services.settling import Judge
from app.services.ship import Ship
from app.services.story import Stories
from app.services.tokens import Tokens


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
        """Make a process of this Gateway: build what several threads will ask for at once. Raises what `ledger`
        raises."""
        _ = (self.ledger, self.gate, self.scan, self.ship, self._threads)
        if self.settings.api_base_url is not None:
            _ = self.deliver
            _spare_the_collector()

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
            longest_request_seconds=self.settings.longest_send_seconds,
            grace_seconds=self.settings.grace_seconds,
            rate_limit=rate_limit(self.settings),
            looks_up=self._looks_up,
            reads_ahead=self._reads_ahead,
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
    def measures(self) -> Measures:
        """Counts the tries of the last minutes."""
        return Measures(self.attempt_log, self.log_store, self.clock)

    @cached_property
    def users(self) -> SqlUsers:
        """Who may use the console."""
        return SqlUsers(self.engine, self.clock)

    @cached_property
    def access(self) -> Access:
        """Lets users of the console in, and administers them."""
        return Access(self.users, self.clock)

    @cached_property
    def tokens(self) -> Tokens:
        """Lets programs into the JSON API, and administers their tokens."""
        _ = self.ledger
        return Tokens(SqlTokens(self.engine, self.clock), self.users, self.clock)

    @cached_property
    def session_key(self) -> str:
        """What the console's sessions are signed with: the same in every process."""
        return reveal(self.settings.console_secret_key) or self.users.kept_secret("console")

    def require_ready(self) -> None:
        """Raise InfrastructureError unless the database answers and holds this version's ledger."""
        require_current(self.engine)

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
    def _reads_ahead(self) -> bool:
        """Not where a rate counts from the moment it was asked for, nor where whatever a dead process leaves
        uncertain waits for a person."""
        limited = self.settings.rate_limit is not None or self.settings.rate_limit_per_facility is not None
        return not limited and self.settings.unknown_outcome_policy is not UnknownPolicy.HOLD

    @property
    def _looks_up(self) -> bool:
        return self.settings.unknown_outcome_policy is UnknownPolicy.LOOKUP


def _spare_the_collector() -> None:
    """Sending makes many objects and hardly a cycle, and what was imported stays for ever: with Python's defaults, a
    sixth of a sending process's time goes into looking for garbage."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def process_gateway() -> Gateway:
    """A Gateway on this process's settings, talking to the partner through the process's own client."""
    return Gateway(get_settings(), client=partner_api_client)

"""The scenarios. Each is one function that does the harm; what follows is the same for all: Hermes goes on by
itself, and once every document has its answer the books are compared.

What varies between two rounds of a scenario (after how many documents, at which arrival) comes from the round's seed.
"""

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from app.core.seams import Seam
from tests.chaos.stage import Death, Needs, NeverCame, Stage, wait_for
from tests.chaos.verdict import Verdict

MOST_ARRIVALS = {
    Seam.AFTER_DISCOVER: 6,
    Seam.BEFORE_OFFER: 12,
    Seam.AFTER_OFFER: 12,
    Seam.AFTER_CLAIM: 5,
    Seam.AFTER_LOAD: 5,
    Seam.BEFORE_SEND: 5,
    Seam.AFTER_ANSWER: 34,
    Seam.BEFORE_SETTLE: 8,
    Seam.INSIDE_SETTLE: 8,
    Seam.AFTER_SETTLE: 8,
    Seam.SHIP_BEFORE_DELETE: 2,
}
"""How often some process surely passes each seam in one round; the death is at one of these arrivals."""

FROZEN_SECONDS = 3.0
PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name, what the stage must have, and the harm. `certain`: nothing may become unknown through it."""

    name: str
    meaning: str
    needs: Needs
    harm: Callable[[Stage], None]
    certain: bool = False


@dataclass(slots=True)
class Round:
    """What one round came to. `trouble` is set when it did not come to a comparison."""

    scenario: str
    seed: int
    folder: Path
    documents: int = 0
    verdict: Verdict | None = None
    recovered_seconds: float | None = None
    seconds: float = 0.0
    restarts: int = 0
    trouble: str | None = None

    @property
    def holds(self) -> bool:
        """Nothing lost, duplicated or disagreeing, and the harm was done."""
        return self.trouble is None and self.verdict is not None and self.verdict.holds


SCENARIOS: dict[str, Scenario] = {}


def play(scenario: Scenario, seed: int, folder: Path, *, keep: bool = False) -> Round:
    """Play one round in `folder/NAME-SEED`, which stays behind only when the round fails (or `keep`)."""
    played = Round(scenario.name, seed, folder / f"{scenario.name}-{seed}")
    played.folder.mkdir(parents=True)
    started = time.monotonic()
    random = Random(f"{scenario.name}/{seed}")  # noqa: S311 (chance, not secrecy)
    try:
        with Stage(played.folder, scenario.needs, random) as stage:
            _play_on(stage, scenario, played)
    except NeverCame as error:
        played.trouble = str(error)
    played.seconds = time.monotonic() - started
    if played.holds and not keep:
        shutil.rmtree(played.folder)
    else:
        _write_findings(played)
    return played


def _play_on(stage: Stage, scenario: Scenario, played: Round) -> None:
    played.documents = stage.documents
    try:
        scenario.harm(stage)
    except NeverCame as error:
        played.trouble = str(error)
    finished = stage.wait_until_finished()
    if finished and stage.struck_at is not None:
        played.recovered_seconds = time.monotonic() - stage.struck_at
    played.restarts = stage.supervisor.restarts
    played.verdict = stage.verdict()
    if scenario.certain:
        for name in played.verdict.uncertain:
            played.verdict.find(played.verdict.disagreeing, name, "unknown, though no request was harmed")


def _write_findings(played: Round) -> None:
    reasons = [] if played.verdict is None else played.verdict.reasons
    lines = [played.trouble or "", *reasons]
    (played.folder / "findings.txt").write_text("\n".join(filter(None, lines)) + "\n", encoding="utf-8")


def scenario(name: str, *, certain: bool = False, **needs: object) -> Callable[..., Callable[[Stage], None]]:
    """Enter a function that does harm under `name`; its docstring is the scenario's meaning."""

    def enter(harm: Callable[[Stage], None]) -> Callable[[Stage], None]:
        meaning = (harm.__doc__ or "").strip().splitlines()[0]
        SCENARIOS[name] = Scenario(name, meaning, Needs(**needs), harm, certain)  # type: ignore[arg-type]
        return harm

    return enter


# ---- deaths at the seams --------------------------------------------------------------------------------


def _die_at(seam: Seam, stage: Stage) -> None:
    stage.start_roles(Death(seam, stage.random.randint(1, MOST_ARRIVALS[seam])))


for _seam in Seam:
    SCENARIOS[_seam.value] = Scenario(
        _seam.value,
        f"The process dies at {_seam.name}",
        Needs(mongo=_seam is Seam.SHIP_BEFORE_DELETE),
        partial(_die_at, _seam),
    )


# ---- deaths at any moment -------------------------------------------------------------------------------


@scenario("sigterm-workers", certain=True)
def sigterm_workers(stage: Stage) -> None:
    """SIGTERM to the three sending services in mid-batch, as at a deployment."""
    stage.start_roles()
    stage.wait_for_copies(5, 70)
    with stage.striking():
        for service in stage.kind_workers():
            service.signal(signal.SIGTERM)


@scenario("sigterm-all", certain=True)
def sigterm_all(stage: Stage) -> None:
    """SIGTERM to every process at once."""
    stage.start_roles()
    stage.wait_for_copies(5, 70)
    with stage.striking():
        for service in stage.supervisor.services:
            service.signal(signal.SIGTERM)


@scenario("sigkill-all")
def sigkill_all(stage: Stage) -> None:
    """SIGKILL to every process at once, as by a power cut."""
    stage.start_roles()
    stage.wait_for_copies(5, 70)
    with stage.striking(), stage.supervisor.looking_away():
        for service in stage.supervisor.services:
            service.signal(signal.SIGKILL)


@scenario("sigkill-all-and-flushall")
def sigkill_all_and_flushall(stage: Stage) -> None:
    """SIGKILL to every process at once, and Redis comes back empty."""
    stage.start_roles()
    stage.wait_for_copies(5, 70)
    with stage.striking(), stage.supervisor.looking_away():
        for service in stage.supervisor.services:
            service.signal(signal.SIGKILL)
        stage.redis.client().flushall()


@scenario("sigstop-workers")
def sigstop_workers(stage: Stage) -> None:
    """The sending services stand still for longer than their claims last, then go on as if nothing had been."""
    stage.start_roles()
    stage.wait_for_copies(5, 60)
    with stage.striking():
        for service in stage.kind_workers():
            service.signal(signal.SIGSTOP)
        _stay_for(6.0)
        for service in stage.kind_workers():
            service.signal(signal.SIGCONT)


# ---- Redis ----------------------------------------------------------------------------------------------


@scenario("redis-killed", certain=True)
def redis_killed(stage: Stage) -> None:
    """Redis dies with all it held and comes back empty a moment later."""
    stage.start_roles()
    stage.wait_for_copies(5, 60)
    with stage.striking():
        stage.redis.kill()
        _stay_for(PAUSE_SECONDS)
        stage.redis.start()


@scenario("redis-flushed", certain=True)
def redis_flushed(stage: Stage) -> None:
    """FLUSHALL while everything runs and nothing is started again."""
    stage.start_roles()
    stage.wait_for_copies(5, 60)
    with stage.striking():
        stage.redis.client().flushall()


@scenario("redis-frozen", certain=True, proxied=frozenset({"redis"}))
def redis_frozen(stage: Stage) -> None:
    """Redis takes connections and answers nothing for three seconds."""
    stage.start_roles()
    stage.wait_for_copies(5, 60)
    with stage.striking():
        stage.proxies["redis"].freeze()
        _stay_for(FROZEN_SECONDS)
        stage.proxies["redis"].heal()


@scenario("redis-cut", certain=True, proxied=frozenset({"redis"}))
def redis_cut(stage: Stage) -> None:
    """Every connection to Redis is reset, three times, and refused for a second in between."""
    stage.start_roles()
    stage.wait_for_copies(5, 60)
    with stage.striking():
        for _ in range(3):
            stage.proxies["redis"].refuse()
            _stay_for(PAUSE_SECONDS / 3)
            stage.proxies["redis"].heal()
            _stay_for(PAUSE_SECONDS / 3)
            stage.proxies["redis"].cut()


# ---- MongoDB --------------------------------------------------------------------------------------------


@scenario("mongo-killed", mongo=True, certain=True)
def mongo_killed(stage: Stage) -> None:
    """MongoDB dies while log rows are on their way, and comes back on its storage."""
    assert stage.mongo is not None
    mongo = stage.mongo
    stage.start_roles()
    wanted = stage.random.randint(1, 60)

    def shipped() -> bool:
        stage.tick_shipping()
        return mongo.count() >= wanted

    wait_for(shipped, f"{wanted} log rows in MongoDB")
    with stage.striking():
        stage.tick_shipping()
        mongo.kill()
        _stay_for(PAUSE_SECONDS)
        mongo.start()


@scenario("mongo-away", mongo=True, certain=True)
def mongo_away(stage: Stage) -> None:
    """MongoDB is not there while everything is sent; the log waits for it in SQL."""
    assert stage.mongo is not None
    stage.mongo.kill()
    stage.start_roles()
    wait_for(stage.all_answered, "every answer, without MongoDB")
    with stage.striking():
        stage.mongo.start()


@scenario("mongo-frozen", mongo=True, certain=True, proxied=frozenset({"mongo"}))
def mongo_frozen(stage: Stage) -> None:
    """MongoDB takes connections and answers nothing for three seconds."""
    stage.start_roles()
    stage.wait_for_copies(5, 40)
    with stage.striking():
        stage.tick_shipping()
        stage.proxies["mongo"].freeze()
        _stay_for(FROZEN_SECONDS)
        stage.proxies["mongo"].heal()


@scenario("mongo-cut", mongo=True, certain=True, proxied=frozenset({"mongo"}))
def mongo_cut(stage: Stage) -> None:
    """Connections to MongoDB are reset again and again while log rows are on their way."""
    stage.start_roles()
    stage.wait_for_copies(5, 40)
    with stage.striking():
        for _ in range(10):
            stage.tick_shipping()
            _stay_for(stage.random.uniform(0.02, 0.3))
            stage.proxies["mongo"].cut()


# ---- more than one of each ------------------------------------------------------------------------------


@scenario("two-of-each", certain=True)
def two_of_each(stage: Stage) -> None:
    """Two beats, two schedulers and two workers of every kind."""
    with stage.striking():
        stage.start_roles()
        stage.beat()
        stage.scheduler()
        for service in stage.kind_workers():
            stage.worker(service.name)


# ---- the partner ----------------------------------------------------------------------------------------


WIDE = {"SEND_CONCURRENCY": 20}
"""A hang holds up a batch for as long as the timeout; larger batches keep a storm's round short."""


STORM_SECONDS = 120.0
"""A storm opens the circuit again and again, and up to four tries of every document go wrong."""


@scenario(
    "partner-storm",
    partner={"faults": "storm", "hang_seconds": 3},
    faults=None,
    settings=WIDE,
    patience_seconds=STORM_SECONDS,
)
def partner_storm(stage: Stage) -> None:
    """Half of all tries go wrong in every way there is; hangs last longer than our timeout."""
    with stage.striking():
        stage.start_roles()


@scenario(
    "partner-storm-no-recognition",
    partner={"faults": "storm", "hang_seconds": 3, "duplicates": "accept"},
    faults=None,
    settings={**WIDE, "UNKNOWN_OUTCOME_POLICY": "hold"},
    patience_seconds=STORM_SECONDS,
)
def partner_storm_no_recognition(stage: Stage) -> None:
    """The storm at a partner that recognises no duplicate, with UNKNOWN_OUTCOME_POLICY=hold."""
    with stage.striking():
        stage.start_roles()


@scenario("sigkill-all-no-recognition", partner={"duplicates": "accept"}, settings={"UNKNOWN_OUTCOME_POLICY": "hold"})
def sigkill_all_no_recognition(stage: Stage) -> None:
    """SIGKILL to every process at once, at a partner that recognises no duplicate, with UNKNOWN_OUTCOME_POLICY=hold."""
    sigkill_all(stage)


@scenario("partner-killed")
def partner_killed(stage: Stage) -> None:
    """The partner dies in mid-request and comes back on its ledger."""
    stage.start_roles()
    stage.wait_for_copies(5, 60)
    with stage.striking():
        stage.partner.kill()
        _stay_for(PAUSE_SECONDS)
        stage.revive_partner()


@scenario("partner-cut", proxied=frozenset({"partner"}))
def partner_cut(stage: Stage) -> None:
    """All connections to the partner are reset in mid-request, five times."""
    stage.start_roles()
    stage.wait_for_copies(5, 40)
    with stage.striking():
        for _ in range(5):
            stage.proxies["partner"].cut()
            _stay_for(stage.random.uniform(0.1, 0.4))


@scenario("partner-frozen", proxied=frozenset({"partner"}))
def partner_frozen(stage: Stage) -> None:
    """Nothing comes through to or from the partner for longer than our timeout; then all of it at once."""
    stage.start_roles()
    stage.wait_for_copies(5, 60)
    with stage.striking():
        stage.proxies["partner"].freeze()
        _stay_for(FROZEN_SECONDS)
        stage.proxies["partner"].heal()


def _stay_for(seconds: float) -> None:
    """How long a harm lasts; not a way to wait for anything."""
    time.sleep(seconds)

"""How the partner misbehaves: rules, the script they form, and which of them meets a given try.

Pure: it decides, ``wire.py`` acts. A rule has *selectors* (which tries it meets) and one *fault* (what
then happens). Rules are asked in order and the first that meets a try decides, except that every
``latency`` rule met adds its delay and lets the next rules be asked.

Rules of the faults named ``…-before-read`` that do not ask for a code or facility are decided on the
request's headers, ahead of all others: the body really is not read. With such a selector the body has
to be read in order to choose, but it is neither checked nor recorded.

Chance is a function of seed, rule, kind, Idempotency-Key and number of the try, not of the order in
which requests happen to arrive: the same documents meet the same faults in every run.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from simulator.routes import KINDS

Seconds = Annotated[float, Field(ge=0, le=3600)]


class Rule(BaseModel):
    """Selectors that every rule may use. All that are given must hold; none given: every try is met."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    decided_on_headers: ClassVar[bool] = False
    passes_on: ClassVar[bool] = False

    fault: str
    rate: float = Field(default=1.0, ge=0, le=1, description="share of the selected tries that is met")
    kind: str | list[str] | None = Field(default=None, description="one kind or several")
    facility: str | list[str] | None = Field(default=None, description="one facility code or several")
    code: str | None = Field(default=None, description="document code as a glob: PN-2026-*")
    code_regex: str | None = Field(default=None, description="document code as a full regular expression")
    first_tries: int | None = Field(default=None, ge=1, description="only try 1 to N of each Idempotency-Key")
    from_seconds: Seconds | None = Field(default=None, description="not before this age of the script")
    until_seconds: Seconds | None = Field(default=None, description="only before this age of the script")

    @field_validator("kind")
    @classmethod
    def _known_kinds(cls, value: str | list[str] | None) -> str | list[str] | None:
        for kind in _several(value):
            if kind not in KINDS:
                raise ValueError(f"unknown kind {kind!r}; allowed: {', '.join(KINDS)}")
        return value

    @field_validator("code_regex")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _selectors_agree(self) -> "Rule":
        if self.code is not None and self.code_regex is not None:
            raise ValueError("give code or code_regex, not both")
        if self.until_seconds is not None and self.until_seconds <= (self.from_seconds or 0):
            raise ValueError("until_seconds must be greater than from_seconds")
        return self

    @property
    def asks_for_document(self) -> bool:
        """Whether the body must be known before this rule can be decided."""
        return not (self.code is None and self.code_regex is None and self.facility is None)

    @property
    def commits(self) -> bool:
        """Whether the document is recorded before the fault strikes."""
        return False


class _AfterCommit(Rule):
    """A fault that strikes once the document is recorded."""

    @property
    def commits(self) -> bool:
        return True


class _PerhapsCommitted(Rule):
    """A misleading answer, given with (``committed``) or without the document being recorded."""

    committed: bool = False

    @property
    def commits(self) -> bool:
        return self.committed


class Latency(Rule):
    """The partner takes ``seconds``, or from ``seconds`` to ``max_seconds``, before it records and answers.

    A client that leaves meanwhile changes nothing: the document is still recorded when the time is up.
    """

    passes_on: ClassVar[bool] = True
    fault: Literal["latency"]
    seconds: Seconds
    max_seconds: Seconds | None = None

    @model_validator(mode="after")
    def _range_is_a_range(self) -> "Latency":
        if self.max_seconds is not None and self.max_seconds < self.seconds:
            raise ValueError("max_seconds must not be less than seconds")
        return self


class Status(_PerhapsCommitted):
    """Any 4xx or 5xx status; ``committed`` records the document first, as behind a broken gateway."""

    fault: Literal["status"]
    status: int = Field(ge=400, le=599)
    body: JsonValue = None
    content_type: str | None = None
    retry_after_seconds: Annotated[int, Field(ge=0, le=86400)] | None = None
    retry_after_format: Literal["seconds", "http-date"] = "seconds"


class CutBeforeRead(Rule):
    """The connection is dropped before the body is read."""

    decided_on_headers: ClassVar[bool] = True
    fault: Literal["cut-before-read"]


class HangBeforeRead(Rule):
    """Nothing happens for ``seconds`` (default: ``--hang-seconds``), then the connection is dropped."""

    decided_on_headers: ClassVar[bool] = True
    fault: Literal["hang-before-read"]
    seconds: Seconds | None = None


class CutAfterCommit(_AfterCommit):
    """The document is recorded, then the connection is dropped without an answer."""

    fault: Literal["cut-after-commit"]


class HangAfterCommit(_AfterCommit):
    """The document is recorded, nothing more happens for ``seconds``, then the connection is dropped."""

    fault: Literal["hang-after-commit"]
    seconds: Seconds | None = None


class HalfBody(_AfterCommit):
    """The document is recorded and the answer breaks off in the middle of its announced length."""

    fault: Literal["half-body"]


class Html200(_PerhapsCommitted):
    """An HTML page with status 200, as a proxy or login page would be."""

    fault: Literal["html-200"]


class CodeIn200(Rule):
    """Status 200 whose JSON carries another ``code`` (number or string); not recorded."""

    fault: Literal["code-in-200"]
    code_in_body: int | str = 500
    mess: str = "Hệ thống đang bận, vui lòng gửi lại sau"


class SlowBody(_AfterCommit):
    """The true answer, dripped evenly over ``seconds``; recorded."""

    fault: Literal["slow-body"]
    seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0


class HugeBody(_AfterCommit):
    """A valid answer with ``megabytes`` of filler in one more field; recorded."""

    fault: Literal["huge-body"]
    megabytes: int = Field(default=10, ge=1, le=1024)


class Garbage(_PerhapsCommitted):
    """Status 200 with bytes that are no UTF-8, announced as JSON."""

    fault: Literal["garbage"]
    committed: bool = True


class Redirect(_PerhapsCommitted):
    """Status 302 to ``location``, a page that does not exist here."""

    fault: Literal["redirect"]
    location: str = "/dang-nhap"


class Empty200(_PerhapsCommitted):
    """Status 200 with an empty body."""

    fault: Literal["empty-200"]
    committed: bool = True


AnyRule = Annotated[
    Latency
    | Status
    | CutBeforeRead
    | HangBeforeRead
    | CutAfterCommit
    | HangAfterCommit
    | HalfBody
    | Html200
    | CodeIn200
    | SlowBody
    | HugeBody
    | Garbage
    | Redirect
    | Empty200,
    Field(discriminator="fault"),
]

_RULES: TypeAdapter[list[AnyRule]] = TypeAdapter(list[AnyRule])
_RULE_TYPES: dict[str, type[Rule]] = {
    get_args(rule.model_fields["fault"].annotation)[0]: rule for rule in get_args(get_args(AnyRule)[0])
}


# --- reading scripts --------------------------------------------------------------------------------


class BadScriptError(ValueError):
    """A fault script that cannot be used; ``problems`` has one sentence per mistake."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def parse_rules(script: str | bytes) -> list[Rule]:
    """The rules in a JSON list; raises BadScriptError naming each wrong rule and field."""
    try:
        return list(_RULES.validate_json(script))
    except ValidationError as error:
        raise BadScriptError([_explain(dict(problem)) for problem in error.errors()]) from error


def rules_as_json(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """The rules as a script that :func:`parse_rules` reads back, without fields left at their defaults."""
    return [rule.model_dump(exclude_defaults=True) for rule in rules]


def _explain(problem: dict[str, Any]) -> str:
    location, message = problem["loc"], problem["msg"].removeprefix("Value error, ")
    if not location:
        return f"The script must be a JSON list of rules: {message}"
    place = f"Rule {location[0] + 1}"
    if problem["type"].startswith("union_tag"):
        return f'{place}, field "fault": must be one of {", ".join(_RULE_TYPES)}'
    if len(location) > 1:
        place += f" ({location[1]})"
    if len(location) > 2:
        place += f', field "{location[2]}"'
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown; allowed: {', '.join(_RULE_TYPES[location[1]].model_fields)}"
    shown = problem["input"]
    return f"{place}: {message}" + (f", got {shown!r}" if isinstance(shown, str | int | float) else "")


def _several(value: str | list[str] | None) -> Sequence[str]:
    return [value] if isinstance(value, str) else value or ()


# --- choosing ---------------------------------------------------------------------------------------


class Try(NamedTuple):
    """One request as chance sees it; ``number`` counts the tries of its key from 1."""

    kind: str
    key: str
    number: int


class Plan(NamedTuple):
    """What happens to a try once its body is known: a delay in seconds, then a fault or none."""

    delay: float
    fault: Rule | None


NO_FAULT = Plan(0.0, None)


class _Selector:
    """One rule with its selectors prepared for many tries."""

    def __init__(self, rule: Rule, number: int, seed: int) -> None:
        self.rule = rule
        self._salt = f"{seed}/{number}"
        self._kinds = frozenset(_several(rule.kind)) or frozenset(KINDS)
        self._facilities = frozenset(_several(rule.facility))
        self._regex = re.compile(rule.code_regex) if rule.code_regex is not None else None

    def meets(self, attempt: Try, age: float, code: str | None, facility: str | None) -> bool:
        rule = self.rule
        return (
            attempt.kind in self._kinds
            and (rule.first_tries is None or attempt.number <= rule.first_tries)
            and (rule.from_seconds is None or age >= rule.from_seconds)
            and (rule.until_seconds is None or age < rule.until_seconds)
            and (not self._facilities or facility in self._facilities)
            and (rule.code is None or (code is not None and fnmatchcase(code, rule.code)))
            and (self._regex is None or (code is not None and self._regex.fullmatch(code) is not None))
            and (rule.rate >= 1 or self._draw(attempt, "met") < rule.rate)
        )

    def delay(self, attempt: Try) -> float:
        """Seconds of a latency rule for this try."""
        rule = self.rule
        if not isinstance(rule, Latency):
            return 0.0
        if rule.max_seconds is None:
            return rule.seconds
        return rule.seconds + (rule.max_seconds - rule.seconds) * self._draw(attempt, "delay")

    def _draw(self, attempt: Try, purpose: str) -> float:
        """A number from 0 up to, not including, 1, always the same for the same try."""
        text = f"{self._salt}/{purpose}/{attempt.kind}/{attempt.number}/{attempt.key}"
        digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return (int.from_bytes(digest) >> 11) / 2**53


class FaultScript:
    """The rules in force, and how often each document has been tried since they came into force."""

    def __init__(self, rules: Sequence[Rule], seed: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.rules = list(rules)
        self._monotonic = monotonic
        self._started_at = monotonic()
        selectors = [_Selector(rule, number, seed) for number, rule in enumerate(rules, start=1)]
        self._on_headers = [s for s in selectors if s.rule.decided_on_headers and not s.rule.asks_for_document]
        self._on_document = [s for s in selectors if s not in self._on_headers]
        self._tries: Counter[tuple[str, str]] = Counter()

    def begin(self, kind: str, key: str) -> Try:
        """Counts one more try of a document."""
        if not self.rules:
            return Try(kind, key, 0)  # nobody will ask: keeps no memory of documents
        self._tries[kind, key] += 1
        return Try(kind, key, self._tries[kind, key])

    def before_read(self, attempt: Try) -> Rule | None:
        """The fault that strikes before the body is read, or None."""
        age = self._monotonic() - self._started_at
        for selector in self._on_headers:
            if selector.meets(attempt, age, None, None):
                return selector.rule
        return None

    def after_read(self, attempt: Try, code: str | None, facility: str | None) -> Plan:
        """What happens to a try whose body is known; code and facility are None where it has none."""
        if not self._on_document:
            return NO_FAULT
        age, delay = self._monotonic() - self._started_at, 0.0
        for selector in self._on_document:
            if selector.meets(attempt, age, code, facility):
                if not selector.rule.passes_on:
                    return Plan(delay, selector.rule)
                delay += selector.delay(attempt)
        return Plan(delay, None)


# --- presets ----------------------------------------------------------------------------------------


class Preset(StrEnum):
    """Ready-made scripts; in each, every document gets through after at most its first few tries."""

    NONE = "none"
    SOME = "some"
    STORM = "storm"


_SOME: list[dict[str, Any]] = [
    {"fault": "latency", "rate": 0.05, "seconds": 0.05, "max_seconds": 0.3},
    {"fault": "cut-before-read", "rate": 0.02},
    {"fault": "status", "status": 500, "rate": 0.02},
    {"fault": "status", "status": 502, "rate": 0.01, "committed": True},
    {"fault": "status", "status": 503, "rate": 0.01, "retry_after_seconds": 1},
    {"fault": "status", "status": 429, "rate": 0.01, "retry_after_seconds": 1},
    {"fault": "cut-after-commit", "rate": 0.02},
    {"fault": "half-body", "rate": 0.01},
    {"fault": "html-200", "rate": 0.01},
    {"fault": "html-200", "rate": 0.01, "committed": True},
    {"fault": "code-in-200", "rate": 0.01},
]

_STORM: list[dict[str, Any]] = [
    {"fault": "latency", "rate": 0.1, "seconds": 0.1, "max_seconds": 1.0},
    {"fault": "cut-before-read", "rate": 0.06},
    {"fault": "hang-before-read", "rate": 0.04},
    {"fault": "cut-after-commit", "rate": 0.08},
    {"fault": "hang-after-commit", "rate": 0.06},
    {"fault": "half-body", "rate": 0.04},
    {"fault": "status", "status": 500, "rate": 0.05},
    {"fault": "status", "status": 502, "rate": 0.04, "committed": True, "content_type": "text/html"},
    {"fault": "status", "status": 504, "rate": 0.03},
    {"fault": "status", "status": 503, "rate": 0.03, "retry_after_seconds": 1},
    {
        "fault": "status",
        "status": 429,
        "rate": 0.02,
        "retry_after_seconds": 1,
        "retry_after_format": "http-date",
    },
    {"fault": "html-200", "rate": 0.03},
    {"fault": "html-200", "rate": 0.03, "committed": True},
    {"fault": "code-in-200", "rate": 0.04, "code_in_body": "500"},
    {"fault": "empty-200", "rate": 0.03},
    {"fault": "garbage", "rate": 0.03},
    {"fault": "slow-body", "rate": 0.03, "seconds": 1.5},
    {"fault": "huge-body", "rate": 0.01, "megabytes": 5},
]

_PRESETS: dict[Preset, tuple[int, list[dict[str, Any]]]] = {
    Preset.NONE: (1, []),
    Preset.SOME: (3, _SOME),
    Preset.STORM: (4, _STORM),
}


def preset_rules(preset: Preset) -> list[Rule]:
    """The rules of a preset; each holds back after a document's first 3 (some) or 4 (storm) tries."""
    tries, rules = _PRESETS[preset]
    return list(_RULES.validate_python([{"first_tries": tries, **rule} for rule in rules]))

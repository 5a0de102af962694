"""The heart as one table: outcome × standing × policy → what the ledger says (P4, P5, P6)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.decide import (
    MOST_DEATHS,
    Decision,
    RetryPolicy,
    Standing,
    UnknownPolicy,
    decide,
    decide_after_death,
)
from app.domain.errors import ErrorCode, Problem
from app.domain.outcomes import Accepted, Defer, Outcome, Rejected, Retry, Scope, Unknown
from app.domain.retry import JITTER, RetrySchedule, jittered
from app.domain.states import CLOSED, State

steady = settings(deadline=None)  # a busy machine is no failure

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
PROBLEM = Problem(ErrorCode.PARTNER_ERROR, "đối tác báo lỗi")
MIDDLE = 0.5  # the chance at which jitter changes nothing

MINUTE, TEN_MINUTES, HOUR = timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1)
SCHEDULE = RetrySchedule((MINUTE, TEN_MINUTES, HOUR))  # used up after three tries
RESEND = RetryPolicy(SCHEDULE, UnknownPolicy.RESEND)
LOOKUP = RetryPolicy(SCHEDULE, UnknownPolicy.LOOKUP)  # due when resending is: what is asked first is not decided here
HOLD = RetryPolicy(SCHEDULE, UnknownPolicy.HOLD)
GOING_ON = (RESEND, LOOKUP)
EVERY = (RESEND, LOOKUP, HOLD)

ACCEPTED = Accepted("QG-1")
DUPLICATE = Accepted(None, duplicate=True)
REJECTED = Rejected(PROBLEM)
RETRY = Retry(PROBLEM)
DEFER = Defer(PROBLEM)
DEFER_FACILITY = Defer(PROBLEM, Scope.FACILITY)
UNKNOWN = Unknown(PROBLEM)

Row = tuple[Outcome, int, bool, tuple[RetryPolicy, ...], State, int, bool, timedelta | None]

# outcome, (attempts, uncertain) before, policies → state, (attempts, uncertain) after, due after
TABLE: tuple[Row, ...] = (
    (ACCEPTED, 0, False, EVERY, State.ACCEPTED, 1, False, None),
    (ACCEPTED, 3, False, EVERY, State.ACCEPTED, 4, False, None),
    (ACCEPTED, 0, True, EVERY, State.ACCEPTED, 1, False, None),
    (ACCEPTED, 3, True, EVERY, State.ACCEPTED, 4, False, None),
    (DUPLICATE, 0, False, EVERY, State.ACCEPTED, 1, False, None),
    (DUPLICATE, 3, True, EVERY, State.ACCEPTED, 4, False, None),
    (REJECTED, 0, False, EVERY, State.REJECTED, 1, False, None),
    (REJECTED, 3, False, EVERY, State.REJECTED, 4, False, None),
    (REJECTED, 0, True, EVERY, State.REJECTED, 1, True, None),
    (REJECTED, 3, True, EVERY, State.REJECTED, 4, True, None),
    (DEFER, 0, False, EVERY, State.WAITING, 0, False, MINUTE),
    (DEFER, 2, False, EVERY, State.WAITING, 2, False, MINUTE),
    (DEFER, 3, False, EVERY, State.WAITING, 3, False, MINUTE),
    (DEFER, 99, False, EVERY, State.WAITING, 99, False, MINUTE),
    (DEFER, 1, True, EVERY, State.UNKNOWN, 1, True, MINUTE),
    (DEFER, 3, True, EVERY, State.UNKNOWN, 3, True, MINUTE),
    (DEFER_FACILITY, 0, False, EVERY, State.WAITING, 0, False, MINUTE),
    (DEFER_FACILITY, 1, True, EVERY, State.UNKNOWN, 1, True, MINUTE),
    (RETRY, 0, False, EVERY, State.WAITING, 1, False, MINUTE),
    (RETRY, 1, False, EVERY, State.WAITING, 2, False, TEN_MINUTES),
    (RETRY, 2, False, EVERY, State.WAITING, 3, False, HOUR),
    (RETRY, 3, False, EVERY, State.PARKED, 4, False, None),
    (RETRY, 99, False, EVERY, State.PARKED, 100, False, None),
    (RETRY, 0, True, GOING_ON, State.UNKNOWN, 1, True, MINUTE),
    (RETRY, 2, True, GOING_ON, State.UNKNOWN, 3, True, HOUR),
    (RETRY, 3, True, GOING_ON, State.UNKNOWN, 4, True, None),
    (RETRY, 0, True, (HOLD,), State.UNKNOWN, 1, True, None),
    (RETRY, 3, True, (HOLD,), State.UNKNOWN, 4, True, None),
    (UNKNOWN, 0, False, GOING_ON, State.UNKNOWN, 1, True, MINUTE),
    (UNKNOWN, 0, True, GOING_ON, State.UNKNOWN, 1, True, MINUTE),
    (UNKNOWN, 1, False, GOING_ON, State.UNKNOWN, 2, True, TEN_MINUTES),
    (UNKNOWN, 2, True, GOING_ON, State.UNKNOWN, 3, True, HOUR),
    (UNKNOWN, 3, False, GOING_ON, State.UNKNOWN, 4, True, None),
    (UNKNOWN, 3, True, GOING_ON, State.UNKNOWN, 4, True, None),
    (UNKNOWN, 0, False, (HOLD,), State.UNKNOWN, 1, True, None),
    (UNKNOWN, 0, True, (HOLD,), State.UNKNOWN, 1, True, None),
    (UNKNOWN, 3, True, (HOLD,), State.UNKNOWN, 4, True, None),
)


def _rows() -> list[object]:
    return [
        pytest.param(
            outcome,
            Standing(attempts, uncertain),
            policy,
            (state, after, still_uncertain, None if due is None else NOW + due),
            id=f"{outcome.name}-{attempts}-{'un' if uncertain else ''}certain-{policy.unknown}",
        )
        for outcome, attempts, uncertain, policies, state, after, still_uncertain, due in TABLE
        for policy in policies
    ]


def decided(outcome: Outcome, standing: Standing, policy: RetryPolicy = RESEND, chance: float = MIDDLE) -> Decision:
    return decide(standing, outcome, policy=policy, now=NOW, chance=chance)


@pytest.mark.parametrize(("outcome", "standing", "policy", "expected"), _rows())
def test_every_outcome_leads_where_the_table_says(
    outcome: Outcome, standing: Standing, policy: RetryPolicy, expected: tuple[State, int, bool, datetime | None]
) -> None:
    decision = decided(outcome, standing, policy)
    assert (decision.state, decision.attempts, decision.uncertain, decision.due_at) == expected


def test_the_table_asks_for_every_outcome_certain_and_uncertain_under_every_policy() -> None:
    asked = {(type(row[0]), row[2], policy.unknown) for row in TABLE for policy in row[3]}
    outcomes = (Accepted, Rejected, Retry, Defer, Unknown)
    assert asked == {(outcome, un, policy) for outcome in outcomes for un in (False, True) for policy in UnknownPolicy}


def test_an_acceptance_carries_the_national_code_and_no_problem() -> None:
    decision = decided(ACCEPTED, Standing(0, False))
    assert (decision.national_code, decision.problem) == ("QG-1", None)


@pytest.mark.parametrize("outcome", [REJECTED, RETRY, DEFER, UNKNOWN], ids=lambda outcome: outcome.name)
@pytest.mark.parametrize("uncertain", [False, True])
def test_everything_but_an_acceptance_carries_its_reason(outcome: Outcome, uncertain: bool) -> None:
    decision = decided(outcome, Standing(0, uncertain))
    assert (decision.problem, decision.national_code) == (PROBLEM, None)


# --- when the process died --------------------------------------------------------------------------


def after_death(standing: Standing, deaths: int, sent: bool, policy: RetryPolicy) -> Decision:
    return decide_after_death(standing, PROBLEM, deaths=deaths, sent=sent, policy=policy, now=NOW, chance=MIDDLE)


@pytest.mark.parametrize("policy", EVERY, ids=lambda policy: policy.unknown)
@pytest.mark.parametrize("deaths", range(1, MOST_DEATHS))
@pytest.mark.parametrize("standing", [Standing(0, False), Standing(1, True), Standing(3, False)], ids=str)
def test_p5_a_request_that_was_out_when_its_process_died_is_like_one_without_an_answer(
    standing: Standing, deaths: int, policy: RetryPolicy
) -> None:
    assert after_death(standing, deaths, True, policy) == decided(UNKNOWN, standing, policy)


@pytest.mark.parametrize("policy", EVERY, ids=lambda policy: policy.unknown)
@pytest.mark.parametrize("deaths", [MOST_DEATHS, MOST_DEATHS + 1])
@pytest.mark.parametrize(
    ("standing", "sent", "expected"),
    [
        (Standing(1, False), False, Decision(State.PARKED, 1, False, None, PROBLEM)),
        (Standing(1, False), True, Decision(State.UNKNOWN, 2, True, None, PROBLEM)),
        (Standing(1, True), False, Decision(State.UNKNOWN, 1, True, None, PROBLEM)),
        (Standing(1, True), True, Decision(State.UNKNOWN, 2, True, None, PROBLEM)),
    ],
    ids=str,
)
def test_p7_a_document_that_too_many_processes_died_with_waits_for_a_person(
    standing: Standing, sent: bool, expected: Decision, deaths: int, policy: RetryPolicy
) -> None:
    assert after_death(standing, deaths, sent, policy) == expected


# --- how long a Defer lasts -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (timedelta(days=-9820), timedelta(seconds=5)),
        (timedelta(seconds=-1), timedelta(seconds=5)),
        (timedelta(0), timedelta(seconds=5)),
        (timedelta(seconds=4.9), timedelta(seconds=5)),
        (timedelta(seconds=5), timedelta(seconds=5)),
        (timedelta(seconds=90), timedelta(seconds=90)),
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(hours=1, seconds=1), timedelta(hours=1)),
        (timedelta(seconds=10**8), timedelta(hours=1)),
        (timedelta.max, timedelta(hours=1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("uncertain", [False, True])
def test_a_retry_after_is_honoured_within_bounds(asked: timedelta, granted: timedelta, uncertain: bool) -> None:
    outcome = Defer(PROBLEM, after=asked)
    earliest = decided(outcome, Standing(0, uncertain), chance=0).due_at
    latest = decided(outcome, Standing(0, uncertain), chance=0.999999).due_at
    assert earliest == NOW + granted
    assert latest is not None
    assert NOW + granted < latest <= NOW + granted * 1.1


def test_the_bounds_of_a_retry_after_are_the_policys() -> None:
    policy = RetryPolicy(SCHEDULE, defer_at_least=timedelta(seconds=30), defer_at_most=timedelta(seconds=40))
    asked = [timedelta(0), timedelta(seconds=35), timedelta(days=1)]
    due = [decided(Defer(PROBLEM, after=each), Standing(0, False), policy, chance=0).due_at for each in asked]
    assert due == [NOW + timedelta(seconds=seconds) for seconds in (30, 35, 40)]


def test_without_a_retry_after_a_defer_lasts_as_long_as_the_policy_says_give_or_take_the_jitter() -> None:
    policy = RetryPolicy(SCHEDULE, defer_delay=timedelta(seconds=100))
    due = [decided(DEFER, Standing(0, False), policy, chance).due_at for chance in (0, 0.5, 0.75)]
    assert due == [NOW + timedelta(seconds=seconds) for seconds in (90, 100, 105)]


# --- chance ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 90), (0.25, 95), (0.5, 100), (0.75, 105)])
def test_jitter_spreads_a_delay_evenly_around_its_length(chance: float, seconds: float) -> None:
    assert jittered(timedelta(seconds=100), chance) == timedelta(seconds=seconds)


@steady
@given(
    seconds=st.integers(1, 31 * 86_400),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_jitter_never_leaves_its_bounds(seconds: int, chance: float) -> None:
    delay = timedelta(seconds=seconds)
    rounding = timedelta(microseconds=1)
    assert delay * (1 - JITTER) - rounding <= jittered(delay, chance) <= delay * (1 + JITTER) + rounding


# --- whatever happens -----------------------------------------------------------------------------

problems = st.builds(Problem, st.sampled_from(ErrorCode), st.text(max_size=20))
spans = st.timedeltas()
defers = st.builds(Defer, problems, st.sampled_from(Scope), st.none() | spans)
not_final = st.one_of(st.builds(Retry, problems), defers, st.builds(Unknown, problems))
final = st.one_of(st.builds(Accepted, st.none() | st.text(), st.booleans()), st.builds(Rejected, problems))
standings = st.builds(Standing, st.integers(0, 50), st.booleans())
uncertain_standings = st.builds(Standing, st.integers(0, 50), st.just(True))
delays = st.timedeltas(timedelta(seconds=1), timedelta(days=31))
policies = st.builds(
    RetryPolicy,
    schedule=st.builds(RetrySchedule, st.lists(delays, min_size=1, max_size=8).map(tuple)),
    unknown=st.sampled_from(UnknownPolicy),
    defer_delay=st.timedeltas(timedelta(seconds=1), timedelta(days=1)),
)
chances = st.floats(0, 1, exclude_max=True)


@steady
@given(outcome=defers, standing=standings, policy=policies, chance=chances)
def test_p6_a_defer_never_uses_up_an_attempt_and_always_comes_back_by_itself(
    outcome: Outcome, standing: Standing, policy: RetryPolicy, chance: float
) -> None:
    decision = decided(outcome, standing, policy, chance)
    assert (decision.attempts, decision.uncertain) == (standing.attempts, standing.uncertain)
    assert decision.state in {State.WAITING, State.UNKNOWN}
    assert decision.due_at is not None
    assert decision.due_at > NOW


@steady
@given(outcome=not_final, standing=uncertain_standings, policy=policies, chance=chances)
def test_p5_while_uncertain_nothing_but_an_answer_about_the_document_leaves_unknown(
    outcome: Outcome, standing: Standing, policy: RetryPolicy, chance: float
) -> None:
    decision = decided(outcome, standing, policy, chance)
    assert (decision.state, decision.uncertain) == (State.UNKNOWN, True)


@steady
@given(outcome=final, standing=uncertain_standings, policy=policies, chance=chances)
def test_p5_an_answer_about_the_document_does_leave_unknown(
    outcome: Outcome, standing: Standing, policy: RetryPolicy, chance: float
) -> None:
    assert decided(outcome, standing, policy, chance).state in {State.ACCEPTED, State.REJECTED}


@steady
@given(outcome=st.one_of(final, not_final), standing=standings, policy=policies, chance=chances)
def test_due_is_set_exactly_while_something_will_happen_by_itself(
    outcome: Outcome, standing: Standing, policy: RetryPolicy, chance: float
) -> None:
    decision = decided(outcome, standing, policy, chance)
    used_up = decision.attempts > len(policy.schedule.delays)
    held = decision.state is State.UNKNOWN and not isinstance(outcome, Defer) and policy.unknown is UnknownPolicy.HOLD
    if decision.state in CLOSED:
        assert decision.due_at is None
    elif held or (used_up and not isinstance(outcome, Defer)):
        assert (decision.state, decision.due_at) == (State.UNKNOWN, None)
    else:
        assert decision.due_at is not None
        assert decision.due_at > NOW


@steady
@given(outcome=st.one_of(final, not_final), standing=standings, policy=policies, chance=chances)
def test_p1_every_outcome_ends_in_a_settled_state_and_counts_at_most_one_attempt(
    outcome: Outcome, standing: Standing, policy: RetryPolicy, chance: float
) -> None:
    decision = decided(outcome, standing, policy, chance)
    assert decision.state not in {State.QUEUED, State.SENDING}
    counted = 0 if isinstance(outcome, Defer) else 1
    assert decision.attempts == standing.attempts + counted
    assert (decision.problem is None) == isinstance(outcome, Accepted)

"""The pages on guarantees, lifecycle, states and errors say what the code has: all of it, and nothing else."""

import re
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

from app.core.config import Language, Settings
from app.core.seams import Seam
from app.core.texts import say
from app.domain import states
from app.domain.decide import MOST_DEATHS, RetryPolicy, Standing, UnknownPolicy, decide, decide_after_death
from app.domain.errors import ErrorCode, Problem
from app.domain.outcomes import Accepted, Defer, Outcome, Rejected, Retry, Unknown
from app.domain.retry import RetrySchedule
from app.domain.states import SOURCE_STATUS, SourceStatus, State, Transition

ROOT = Path(__file__).parents[2]
GUARANTEES = (ROOT / "docs/explanation/guarantees.md").read_text(encoding="utf-8")
LIFECYCLE = (ROOT / "docs/explanation/lifecycle.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs/reference/states-and-errors.md").read_text(encoding="utf-8")
PAGES = {"guarantees": GUARANTEES, "lifecycle": LIFECYCLE, "states-and-errors": REFERENCE}

TRANSITIONS = {name: value for name, value in vars(states).items() if isinstance(value, Transition)}
SETTINGS = {name.upper() for name in Settings.model_fields}
PROMISES = [f"P{number}" for number in range(1, 11)]

PROBLEM = Problem(ErrorCode.REFUSED, "")
OUTCOMES: dict[str, Outcome] = {
    each.name: each for each in (Accepted("1"), Rejected(PROBLEM), Retry(PROBLEM), Defer(PROBLEM), Unknown(PROBLEM))
}
NOW = datetime(2026, 11, 20, tzinfo=UTC)
POLICIES = [RetryPolicy(RetrySchedule.parse("30s"), unknown) for unknown in UnknownPolicy]
FRESH, USED_UP = 0, 1  # tries before this one, under a schedule of one delay


def section(page: str, heading: str) -> str:
    """What stands under a heading, its subsections included."""
    match = re.search(rf"^(#+) {re.escape(heading)}$", page, re.MULTILINE)
    assert match is not None, f"no heading {heading!r}"
    return re.split(rf"^#{{1,{len(match[1])}}} ", page[match.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the one table in `text`, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(text: str) -> list[str]:
    """What stands between backticks within a line; fenced blocks are left out."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def first_cells(text: str) -> list[str]:
    """What the rows of a table are about."""
    return [quoted(cells[0])[0] for cells in rows(text)]


def after(outcome: Outcome, *, uncertain: bool) -> set[State]:
    """Every state that an outcome can lead to."""
    tries = product(POLICIES, (FRESH, USED_UP))
    return {
        decide(Standing(attempts, uncertain), outcome, policy=policy, now=NOW, chance=0.5).state
        for policy, attempts in tries
    }


def after_death() -> set[State]:
    """Every state that the death of a claim's holder can lead to."""
    cases = product(POLICIES, (1, MOST_DEATHS), (False, True), (False, True))
    return {
        decide_after_death(
            Standing(FRESH, uncertain), PROBLEM, deaths=deaths, sent=sent, policy=policy, now=NOW, chance=0.5
        ).state
        for policy, deaths, sent, uncertain in cases
        if sent or deaths == MOST_DEATHS  # what surely never went out is released, unless it died too often
    }


def drawn() -> list[tuple[str, str, str]]:
    """The edges of the diagram: from, to, and the first word of the label."""
    return re.findall(r"^    (\S+) --> (\w+): (\w+) \(.+\)$", section(LIFECYCLE, "The states"), re.MULTILINE)


# ---- states and transitions ------------------------------------------------------------------------------


def test_every_edge_of_the_diagram_has_its_label() -> None:
    assert section(LIFECYCLE, "The states").count("-->") == len(drawn())


def test_the_diagram_draws_every_transition_and_no_other() -> None:
    found = [edge for edge in drawn() if edge[2] not in {"settle", "discover"}]
    assert sorted(found) == sorted(
        (source.value, move.target.value, name) for name, move in TRANSITIONS.items() for source in move.sources
    )


def test_the_diagram_draws_every_way_an_outcome_can_go() -> None:
    settled = {
        state for outcome in OUTCOMES.values() for unsure in (False, True) for state in after(outcome, uncertain=unsure)
    }
    found = [edge for edge in drawn() if edge[2] == "settle"]
    assert sorted(found) == sorted((State.SENDING.value, state.value, "settle") for state in settled | after_death())


def test_a_document_enters_where_discovery_puts_it() -> None:
    found = [edge for edge in drawn() if edge[2] == "discover"]
    assert found == [("[*]", states.REOPEN.target.value, "discover")]


def test_every_state_has_its_paragraph_and_nothing_else_has() -> None:
    headings = re.findall(r"^### (.+)$", section(LIFECYCLE, "The states"), re.MULTILINE)
    assert headings == [f"`{state}`" for state in State]
    for heading in headings:
        paragraph = " ".join(section(LIFECYCLE, heading).split())
        for part in ("**In:**", "**Out:**", "**If a process dies here,**", "**The source row**", "**An operator**"):
            assert part in paragraph, (heading, part)


def test_the_states_are_listed_with_their_words_and_source_status() -> None:
    found = [cells[:4] for cells in rows(section(REFERENCE, "States · Trạng thái"))]
    assert found == [
        [
            f"`{state}`",
            say(Language.VI, f"state_{state}"),
            say(Language.EN, f"state_{state}"),
            str(int(SOURCE_STATUS[state])) if state in SOURCE_STATUS else "unchanged",
        ]
        for state in State
    ]


def test_the_source_statuses_are_all_listed() -> None:
    listed = [cells[0] for cells in rows(section(REFERENCE, "Source status · Trạng thái nguồn"))]
    assert listed == [str(int(status)) for status in SourceStatus]


# ---- outcomes --------------------------------------------------------------------------------------------


def test_the_outcomes_lead_where_the_page_says() -> None:
    table = rows(section(LIFECYCLE, "From an outcome to a state"))
    assert [quoted(cells[0])[0] for cells in table] == list(OUTCOMES)
    for name, _, counts, certain, uncertain in table:
        outcome = OUTCOMES[name.strip("`")]
        counted = decide(Standing(FRESH, False), outcome, policy=POLICIES[0], now=NOW, chance=0.5).attempts
        assert counts == ("yes" if counted else "no"), name
        assert set(quoted(certain)) == after(outcome, uncertain=False), name
        assert set(quoted(uncertain)) == after(outcome, uncertain=True), name


def test_the_reference_counts_the_same_outcomes_as_tries() -> None:
    counted = {cells[0]: cells[2] for cells in rows(section(LIFECYCLE, "From an outcome to a state"))}
    table = rows(section(REFERENCE, "Outcomes · Kết quả một lần gửi"))
    assert {cells[0]: cells[-1].split(" · ")[0] for cells in table} == counted


def test_every_policy_for_unknown_outcomes_is_explained() -> None:
    explained = re.findall(r"^- `(\w+)`: ", section(LIFECYCLE, "The mark `uncertain`"), re.MULTILINE)
    assert explained == list(UnknownPolicy)
    assert set(UnknownPolicy) <= set(quoted(section(GUARANTEES, "P5. A timeout is not a failure")))


# ---- error codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("heading", ["Error codes", "Mã lỗi"])
def test_every_error_code_is_explained_and_no_other(heading: str) -> None:
    table = section(REFERENCE, heading)
    assert first_cells(table) == list(ErrorCode)
    assert all(all(cells[-2:]) for cells in rows(table))


def test_error_codes_stand_beside_outcomes_that_exist() -> None:
    for code, outcomes, *_ in rows(section(REFERENCE, "Error codes")):
        assert set(quoted(outcomes)) <= set(OUTCOMES), code
        assert bool(outcomes) == (code != f"`{ErrorCode.PARKED_BY_OPERATOR}`"), code


# ---- promises, seams, settings ---------------------------------------------------------------------------


def test_every_promise_is_there_with_what_it_rests_on_and_its_limits() -> None:
    headings = re.findall(r"^### ((P\d+)\. .+)$", GUARANTEES, re.MULTILINE)
    assert [number for _, number in headings] == PROMISES
    for heading, _ in headings:
        text = section(GUARANTEES, heading)
        assert "**Rests on.**" in text, heading
        assert "**Limits.**" in text, heading


def test_every_seam_has_its_row_and_no_other() -> None:
    cells = [cells[0] for cells in rows(section(GUARANTEES, "What dies, and what then"))]
    assert [name for cell in cells for name in quoted(cell)] == list(Seam)


@pytest.mark.parametrize("page", PAGES)
def test_what_stands_in_capitals_is_a_setting_or_a_transition(page: str) -> None:
    named = {match[1] for span in quoted(PAGES[page]) if (match := re.match(r"([A-Z][A-Z_]+)(=|$)", span))}
    assert named
    assert named <= SETTINGS | set(TRANSITIONS), named - SETTINGS - set(TRANSITIONS)


def test_the_settings_behind_the_lifecycle_are_those_of_the_settings_file() -> None:
    """The groups of `.env.example` that are about sending and trying again, in its order."""
    file = (ROOT / ".env.example").read_text(encoding="utf-8")
    groups = dict(re.findall(r"^# ---- (.+?) ----$(.+?)(?=^# ----|\Z)", file, re.MULTILINE | re.DOTALL))
    wanted = groups["Scanning, claiming, sending"] + groups["Trying again"]
    listed = first_cells(section(LIFECYCLE, "Settings behind all this"))
    assert listed == re.findall(r"^#?([A-Z_]+)=", wanted, re.MULTILINE)


# ---- figures that the pages give -------------------------------------------------------------------------


def test_the_default_schedule_gives_the_tries_and_hours_that_the_pages_name() -> None:
    schedule = RetrySchedule.parse(Settings.model_fields["retry_schedule"].default)
    assert len(schedule.delays) == 6
    assert round(sum(delay.total_seconds() for delay in schedule.delays) / 3600) == 31
    assert "seven tries in about 31 hours" in " ".join(GUARANTEES.split())
    assert "with six delays, after the seventh try" in " ".join(LIFECYCLE.split())


def test_a_document_is_given_up_after_as_many_deaths_as_the_pages_name() -> None:
    assert MOST_DEATHS == 3
    assert "After the third, it is tried no longer" in " ".join(LIFECYCLE.split())

"""The reference and the pages on guarantees and lifecycle say what the code has: all of it, and nothing else."""

import ast
import re
from datetime import UTC, datetime
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import Column
from sqlalchemy.dialects import mssql
from typer.main import get_command

from app.cli import program
from app.clients.partner_api_client import PartnerAPIClient
from app.core.check_texts import CHECK_TEXTS
from app.core.config import Language, Settings, load_settings
from app.core.seams import Seam
from app.core.texts import say
from app.db.migrate import VERSION_TABLE
from app.db.tables import LEDGER
from app.documents import ALL_KINDS, SOURCE, DocumentKind
from app.domain import states
from app.domain.decide import MOST_DEATHS, RetryPolicy, Standing, UnknownPolicy, decide, decide_after_death
from app.domain.deliveries import Attempt
from app.domain.errors import ErrorCode, Problem
from app.domain.kinds import Document
from app.domain.outcomes import Accepted, Defer, Outcome, Rejected, Retry, Unknown
from app.domain.retry import RetrySchedule
from app.domain.states import SOURCE_STATUS, SourceStatus, State, Transition
from app.partners import Prepared
from app.partners.basic import BASIC

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


# ---- settings, commands, tables, log fields ----------------------------------------------------------------

SETTINGS_PAGE = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
CLI_PAGE = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
TABLES_PAGE = (ROOT / "docs/reference/tables.md").read_text(encoding="utf-8")
LOG_PAGE = (ROOT / "docs/reference/log-fields.md").read_text(encoding="utf-8")

CAUSES_COME_FROM = (
    "doctor.py",
    "services/checks.py",
    "services/clocks.py",
    "core/tls.py",
    "db/examine_sql.py",
    "db/examine_redis.py",
    "db/examine_mongo.py",
    "clients/examine_partner.py",
    "cli/documents.py",
)

LINE_FIELDS = {"described": {"code", "outcome", "national_code"}, "summary": {"role"}}
"""What the calls that are spread into a log line bring along; `summary` is every setting."""


def table_lines(text: str) -> list[str]:
    """Every row of every table in `text`, heads included, rules left out."""
    return [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]


def settings_of_the_example() -> dict[str, list[str]]:
    """The settings by group, in the order of `.env.example`."""
    file = (ROOT / ".env.example").read_text(encoding="utf-8")
    groups = re.findall(r"^# ---- ([^\n]+?)(?:\. [^\n]*)? ----$(.+?)(?=^# ----|\Z)", file, re.MULTILINE | re.DOTALL)
    return {title: re.findall(r"^#?([A-Z_]+)=", body, re.MULTILINE) for title, body in groups}


def shown(default: object) -> str:
    """A default as a person would write it."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return str(default.value if isinstance(default, Enum) else default)


def setting_row(name: str) -> str:
    """The row that the page must have for a setting."""
    field = Settings.model_fields[name.lower()]
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    default = "" if field.default is None else f"`{shown(field.default)}`"
    return f"| `{name}` | {default} | {extra['expects']} | {field.description} |"


@pytest.mark.parametrize("group", settings_of_the_example())
def test_every_setting_stands_in_its_group_as_the_code_has_it(group: str) -> None:
    names = settings_of_the_example()[group]
    assert table_lines(section(SETTINGS_PAGE, group))[1:] == [setting_row(name) for name in names]


def test_the_settings_page_lists_every_setting_once_and_no_other() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", SETTINGS_PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(SETTINGS)


def commands() -> dict[str, Any]:
    """Every command by its full name, `db upgrade` included."""
    found: dict[str, Any] = {}
    for name, command in get_command(program.app).commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}": each for sub, each in inner.items()} if inner else {name: command}
    return found


def parameters(command: Any) -> list[str]:
    """A command's arguments and options as the page writes them, but for `--help`."""
    return [", ".join(f"`{name}`" for name in each.opts) for each in command.params if each.name != "help"]


def test_every_command_has_its_section_and_nothing_else_has() -> None:
    headings = re.findall(r"^### `hermes (.+)`$", CLI_PAGE, re.MULTILINE)
    assert sorted(headings) == sorted(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_argument_and_option_is_explained_and_no_other(name: str) -> None:
    explained = [cells[0] for cells in rows(section(CLI_PAGE, f"`hermes {name}`"))]
    assert sorted(explained) == sorted(parameters(commands()[name]))


def test_the_exit_codes_are_those_that_the_commands_promise() -> None:
    promised = re.findall(r"\b(\d) ", program.__doc__ or "")
    assert [cells[0] for cells in rows(section(CLI_PAGE, "The command line").split("## ")[0])] == promised


def sql_type(column: Column[Any]) -> str:
    """A column's type on SQL Server."""
    return str(column.type.compile(dialect=mssql.dialect())).lower()


def columns_and_indexes(page_section: str) -> tuple[list[list[str]], list[list[str]]]:
    """The cells of a table's columns, and of its indexes where it has some."""
    columns, _, indexes = page_section.partition("| index |")
    return rows(columns), rows(f"| index |{indexes}") if indexes else []


def test_every_table_has_its_section_and_nothing_else_has() -> None:
    headings = re.findall(r"^### `(\w+)`$", TABLES_PAGE, re.MULTILINE)
    assert sorted(headings) == sorted([*LEDGER.tables, *SOURCE.tables])
    assert f"`{VERSION_TABLE}`" in TABLES_PAGE


@pytest.mark.parametrize("name", sorted(LEDGER.tables))
def test_every_column_and_index_of_the_ledger_is_explained_as_it_is(name: str) -> None:
    table = LEDGER.tables[name]
    text = section(TABLES_PAGE, f"`{name}`")
    columns, indexes = columns_and_indexes(text)
    assert [cells[:3] for cells in columns] == [
        [f"`{each.name}`", sql_type(each), "yes" if each.nullable else "no"] for each in table.columns
    ]
    assert all(cells[3] for cells in columns)
    assert [cells[:2] for cells in indexes] == [
        [f"`{index.name}`", ", ".join(f"`{each.name}`" for each in index.columns)]
        for index in sorted(table.indexes, key=lambda index: str(index.name))
    ]
    key = ", ".join(f"`{each.name}`" for each in table.primary_key.columns)
    assert f"Primary key: {key}." in text


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)
def test_every_column_of_the_source_is_listed_with_what_is_sent_of_it(kind: DocumentKind) -> None:
    header = BASIC.endpoints[kind.name].payload
    (line,) = get_args(header.model_fields["items"].annotation)
    its_own = {"id", kind.line_code.name}
    for table, model in ((kind.header, header), (kind.lines, line)):
        fields = {field.validation_alias: field for field in model.model_fields.values()}
        wanted = []
        for column in table.columns:
            field = fields.get(column.name)
            required = field.is_required() if field else table is kind.lines and column.name in its_own
            sent_as = f"`{field.serialization_alias}`" if field else ""
            wanted.append([f"`{column.name}`", sql_type(column), "yes" if required else "no", sent_as])
        assert [cells[:4] for cells in rows(section(TABLES_PAGE, f"`{table.name}`"))] == wanted


def test_the_columns_that_hermes_writes_are_marked() -> None:
    marked = re.findall(r"^\| `(\w+)` \|.*\*\*Hermes writes it\*\*", TABLES_PAGE, re.MULTILINE)
    written = [name for kind in ALL_KINDS for name in (kind.national_code_column, "status_phieu", "note_log")]
    assert sorted(marked) == sorted(written)


def test_every_field_of_a_try_is_explained_and_no_other() -> None:
    assert first_cells(section(LOG_PAGE, "One try").partition("### ")[0]) == list(Attempt.__dataclass_fields__)


async def test_the_record_of_a_try_has_the_fields_that_the_page_names() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"ma_phieu_nhap_quoc_gia": "QG-1"})

    partner = web.Application()
    partner.router.add_post("/phieunhap", answer)
    async with TestServer(partner) as server:
        url = str(server.make_url("")).rstrip("/")
        client = PartnerAPIClient(lambda: load_settings(api_base_url=url, api_username="u", api_password="secret"))
        line = {"ma_thuoc": "T1", "ten_thuoc": "T", "so_lo": "L", "han_dung": "2030-01-01", "so_luong": 1}
        header = {"ma_phieu": "PN1", "ma_co_so": "CS1", "ngay_nhap": "2026-11-20", "loai_phieu_nhap": 1}
        document = Document("phieu_nhap", "PN1", header, [{**line, "don_gia": 1, "don_vi_tinh": "Viên"}])
        prepared = BASIC.endpoints["phieu_nhap"].prepare(document)
        assert isinstance(prepared, Prepared)
        record = (await client.submit_phieu_nhap(prepared, "key")).record
        await client.close()
    found = [f"{side}.{name}" for side, values in record.items() for name in values]
    of_other_tries = {"message", "faults", "late"}
    assert sorted(first_cells(section(LOG_PAGE, "`record`"))) == sorted({*found, *of_other_tries})


def log_calls() -> dict[str, tuple[str, set[str]]]:
    """Every log line that the code can write: its event, level and fields."""
    found = {}
    for file in (ROOT / "app").rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "log"):
                continue
            level = {"exception": "error"}.get(call.func.attr, call.func.attr)
            fields = {keyword.arg for keyword in call.keywords if keyword.arg}
            for spread in (keyword.value for keyword in call.keywords if keyword.arg is None):
                assert isinstance(spread, ast.Call)
                fields |= LINE_FIELDS[getattr(spread.func, "id", getattr(spread.func, "attr", ""))]
            for event in ast.walk(call.args[0]):
                if isinstance(event, ast.Constant) and isinstance(event.value, str):
                    found[event.value] = (level, fields)
    return found


def test_every_log_line_is_explained_with_its_level_and_fields_and_no_other() -> None:
    listed = {quoted(cells[0])[0]: (cells[1], set(quoted(cells[2]))) for cells in rows(section(LOG_PAGE, "Log lines"))}
    assert listed == log_calls()


# ---- hermes check ----------------------------------------------------------------------------------------

CHECK_PAGE = (ROOT / "docs/reference/check.md").read_text(encoding="utf-8")
TABLES_OF_CAUSES = section(CHECK_PAGE, "Steps and causes")


def test_every_cause_stands_on_the_page_as_the_catalogue_has_it() -> None:
    listed = [line for line in table_lines(TABLES_OF_CAUSES) if line.startswith("| `")]
    causes = [key.removeprefix("found_") for key in CHECK_TEXTS if key.startswith("found_")]
    assert sorted(listed) == sorted(
        f"| `{cause}` | {CHECK_TEXTS[f'found_{cause}'][1]} | {CHECK_TEXTS.get(f'remedy_{cause}', ('', ''))[1]} |"
        for cause in causes
    )


def test_every_step_has_its_heading_and_its_name() -> None:
    headings = re.findall(r"^### (.+)$", TABLES_OF_CAUSES, re.MULTILINE)
    named = {name.partition(":")[0] for heading in headings for name in quoted(heading)}
    assert named == {key.removeprefix("check_") for key in CHECK_TEXTS if key.startswith("check_")}


def test_every_cause_that_is_told_has_its_words_and_no_words_are_for_nothing() -> None:
    code = "".join((ROOT / "app" / file).read_text(encoding="utf-8") for file in CAUSES_COME_FROM)
    words = set(re.findall(r'"([a-z_]+)"', code))
    words |= {f"{whose}_{what}" for whose in ("ledger", "source") for what in ("table", "column")}
    words |= {f"clock_{whose}_zone" for whose in ("ours", "theirs")}
    unused = {key.removeprefix("found_") for key in CHECK_TEXTS if key.startswith("found_")} - words
    assert unused == set()
    told = set(re.findall(r'(?:met|failed|warning|skipped)\(\s*"([a-z_]+)"', code))
    assert {cause for cause in told if f"found_{cause}" not in CHECK_TEXTS} == set()
    assert {cause for cause in re.findall(r'(?:failed|warning)\(\s*"([a-z_]+)"', code)
            if f"remedy_{cause}" not in CHECK_TEXTS} == set()  # fmt: skip

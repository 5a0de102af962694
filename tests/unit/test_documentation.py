"""What the documents say is what the code does."""

import re
from enum import Enum
from pathlib import Path

import pytest
import sqlglot
from ruamel.yaml import YAML
from typer.main import get_command

from app.cli.program import app
from app.core.config import Settings
from app.core.texts import _CATALOGUE
from app.documents import ALL_KINDS, HOA_DON
from app.domain.errors import ErrorCode
from app.domain.states import State
from app.main import SCHEDULER_QUEUE

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.vi.md")


def commands() -> dict[str, object]:
    """Every command by its full name, `db upgrade` included."""
    root = get_command(app)
    found = {}
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}": each for sub, each in inner.items()} if inner else {name: command}
    return found


def shown(default: object) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return str(default.value if isinstance(default, Enum) else default)


def test_env_example_documents_every_setting_and_no_other() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))
    documented.pop("NAME_FILE", None)
    assert set(documented) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        assert field.description in text
        if field.default is not None:
            assert documented[name.upper()] == shown(field.default), name


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = commands()[name]
    assert command.help
    assert f"Example: hermes {name}" in command.epilog


@pytest.mark.parametrize("readme", READMES)
def test_the_readme_names_only_commands_queues_and_settings_that_exist(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    named = set(re.findall(r"hermes (db [a-z-]+|[a-z]+)", text))
    assert named <= set(commands())
    queues = set(re.findall(r"\b[a-z_]+_queue\b", text))
    assert queues == {SCHEDULER_QUEUE, *(kind.queue for kind in ALL_KINDS)}
    settings = {name.removesuffix("_FILE") for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)", text)}
    assert settings <= {name.upper() for name in Settings.model_fields}


COMPOSE_COMMANDS = {"up", "logs", "exec", "down", "build", "run", "ps", "stop", "start"}


def parts(text: str) -> list[tuple[str, int, list[str]]]:
    """Of every section: its level, the rows of its tables, and the commands in it but for what is said to a person."""
    found = []
    for level, section in re.findall(r"^(#+) [^\n]+\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL):
        blocks = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]
        commands = [line for line in lines if re.match(r"[\w./-]+ \S", line) and not re.search(r"[À-ỹ]", line)]
        found.append((level, len(re.findall(r"^\|", section, re.MULTILINE)), commands))
    return found


def test_both_readmes_have_the_same_sections_tables_and_commands() -> None:
    english, vietnamese = (parts((ROOT / readme).read_text(encoding="utf-8")) for readme in READMES)
    # What the figure and the list of folders say is prose.
    prose = ("app/", "simulator")
    for one, other in zip(english, vietnamese, strict=True):
        assert one[:2] == other[:2]
        ours = [line for line in one[2] if not line.startswith(prose)]
        assert ours == [line for line in other[2] if not line.startswith(prose)]
    assert sum(len(commands) for *_, commands in english) > 25


@pytest.mark.parametrize("readme", READMES)
def test_the_readme_s_compose_commands_name_services_profiles_and_commands_that_exist(readme: str) -> None:
    services = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    profiles = {profile for service in services.values() for profile in service.get("profiles", ())}
    given = re.findall(r"^docker-compose (.+?)(?:\s+#.*|\s+\|.*)?$", read(readme), re.MULTILINE)
    assert len(given) > 10
    for line in given:
        assert set(re.findall(r"--profile (\S+)", line)) <= profiles
        assert re.sub(r"--profile \S+ ", "", line).split()[0] in COMPOSE_COMMANDS
        named = set(re.findall(r"\b[a-z_]+_worker\b|\bscheduler\b", line))
        assert named <= set(services), line


@pytest.mark.parametrize("readme", READMES)
def test_the_readme_says_which_service_works_on_which_queue(readme: str) -> None:
    listed = dict(re.findall(r"^\| `(\w+_queue)` \| [^|]+ \| `(\w+)` \|$", read(readme), re.MULTILINE))
    queues = [SCHEDULER_QUEUE, *(kind.queue for kind in ALL_KINDS)]
    assert listed == {queue: queue.replace("_queue", "_worker") for queue in queues}


PAGES = sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BY_HAND = {"CREATE SCHEMA", "CREATE LOGIN", "CREATE USER", "CREATE TRIGGER", "GRANT SELECT"}
"""What sqlglot does not take apart; the statements inside a trigger it does."""


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to, as GitHub makes them."""
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_in(text: str) -> str:
    """The fenced blocks and code spans of a page, one per line."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))])


def sql_in(text: str) -> list[str]:
    """The batches of a page's SQL."""
    blocks = re.findall(r"^ *```sql\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [batch for block in blocks for batch in re.split(r"^\s*GO\s*$", block, flags=re.MULTILINE)]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: str) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", read(page)):
        found = (ROOT / page).parent / target if target else ROOT / page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), f"{target}#{anchor}"


def test_every_picture_is_there_shown_somewhere_and_small() -> None:
    shown = {name for page in PAGES for name in re.findall(r"images/([\w.-]+\.png)", read(page))}
    pictures = {file.name: file for file in (ROOT / "docs/images").iterdir()}
    assert set(pictures) == shown
    assert max(file.stat().st_size for file in pictures.values()) < 120_000
    assert sum(file.stat().st_size for file in pictures.values()) < 1_000_000


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/") and page != "docs/README.md"])
def test_the_index_leads_to_every_page(page: str) -> None:
    assert f"({page.removeprefix('docs/')})" in read("docs/README.md")


def command_given(text: str) -> str | None:
    """The command that a line begins with, once `hermes` is taken away; None when there is no such command."""
    return next((name for name in commands() if text.split()[: len(name.split())] == name.split()), None)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_gives_exists_with_its_options(page: str) -> None:
    for given in re.findall(r"(?:^ *|bin/|&& )hermes ([^\n#|&]+)", code_in(read(page)), re.MULTILINE):
        name = command_given(given)
        if name is None:
            assert given == "--version"
            continue
        options = {option for each in commands()[name].params for option in each.opts} | {"--help"}
        unquoted = re.sub(r"\"[^\"]*\"|'[^']*'", "", given)
        assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", unquoted)) <= options, given


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_every_setting_that_a_page_names_exists(page: str) -> None:
    named = re.findall(
        r"\b((?:API|MSSQL|REDIS|MONGO|LOG|RATE|SCAN|CLAIM|SEND|BATCH|RETRY|CONSOLE)_[A-Z_]+)\b", read(page)
    )
    assert {name.removesuffix("_FILE") for name in named} <= {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_a_page_names_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^ *|&& )make ([a-z-]+)", code_in(read(page)), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", [page for page in PAGES if sql_in(read(page))])
def test_the_sql_of_a_page_is_sql_that_sql_server_reads(page: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="sqlglot")
    for batch in sql_in(read(page)):
        for statement in sqlglot.parse(batch, dialect="tsql"):
            if isinstance(statement, sqlglot.exp.Command):
                assert " ".join(batch.split()[:2]).rstrip(",") in BY_HAND, batch


def test_the_views_of_the_example_have_the_columns_that_hermes_reads() -> None:
    parsed = [
        sqlglot.parse_one(batch, dialect="tsql")
        for batch in sql_in(read("docs/howto/fit-your-schema.md"))
        if "CREATE VIEW" in batch
    ]
    views = {view.find(sqlglot.exp.Table).name: view.expression.named_selects for view in parsed}
    assert views == {table.name: [column.name for column in table.columns] for table in (HOA_DON.header, HOA_DON.lines)}


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/") and page.endswith(".vi.md")])
def test_a_translated_page_has_the_shape_of_its_original(page: str) -> None:
    """The same headings, commands and rows; an original may show more of what one sees."""
    translated, original = read(page), read(page.replace(".vi.md", ".md"))
    assert translated.count("\n## ") == original.count("\n## ")
    assert len(re.findall(r"^\|", translated, re.MULTILINE)) == len(re.findall(r"^\|", original, re.MULTILINE))
    assert len(re.findall(r"^- \*\*", translated, re.MULTILINE)) == len(re.findall(r"^- \*\*", original, re.MULTILINE))
    given = re.compile(rf"hermes (?:{'|'.join(commands())})\b")
    assert given.findall(code_in(translated)) == given.findall(code_in(original))


TO_COPY = re.compile(
    r"^ *((?:ACL|GRANT|CREATE|UPDATE|SET|INSERT|FROM|WHERE|db\.\w+|systemctl|journalctl|runuser|useradd|install|mkdir"
    r"|cp|cd|make|kubectl|docker-compose)\b.*)$",
    re.MULTILINE,
)
"""A line of a block that people copy."""


def to_copy(text: str) -> list[str]:
    """What a page gives to copy, but for reasons, passwords and notes: those are in its language."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"\"[^\"]*\"|N'[^']*'|>\S+|\s+#.*", "", line) for line in TO_COPY.findall("\n".join(blocks))]
    settings = re.findall(r"^ *([A-Z][A-Z_]+)=", "\n".join(blocks), re.MULTILINE)
    return [*lines, *settings]


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/") and page.endswith(".vi.md")])
def test_a_translated_page_gives_the_same_to_copy_as_its_original(page: str) -> None:
    """Rights, units and settings that only one of the two has are missed by half of those who follow them."""
    assert to_copy(read(page)) == to_copy(read(page.replace(".vi.md", ".md")))


def test_the_units_run_every_queue_and_only_commands_that_exist() -> None:
    units = ROOT / "deploy/systemd"
    page = read("docs/howto/deploy-without-containers.md")
    started = re.findall(
        r"ExecStart=/opt/hermes/\.venv/bin/(\S+) (.+)", "".join(u.read_text() for u in sorted(units.glob("*.service")))
    )
    assert [command for command in started if command[0] == "hermes"] == [("hermes", "console"), ("hermes", "up")]
    assert {arguments.split()[1] for command, arguments in started if command == "celery"} == {"app.main.celery_app"}
    queues = {SCHEDULER_QUEUE, *(kind.queue for kind in ALL_KINDS)}
    assert set(re.findall(r"hermes-worker@(\w+)\.service(?!\.d)", page)) == queues
    assert {file.name for file in units.iterdir() if file.is_file()} == set(
        re.findall(r"^\| `(hermes[^`]+)`", page, re.MULTILINE)
    )


def test_the_catalogue_has_every_state_and_both_languages_with_the_same_values() -> None:
    assert {f"state_{state}" for state in State} <= set(_CATALOGUE)
    for key, sentences in _CATALOGUE.items():
        assert all(sentences), key
        values = [set(re.findall(r"\{(\w+)", sentence)) for sentence in sentences]
        assert values[0] == values[1], key


def test_every_problem_on_the_wire_has_its_sentence() -> None:
    without = {ErrorCode.INVALID_DOCUMENT, ErrorCode.REFUSED}  # made of faults, or the partner's own words
    assert {code.value for code in set(ErrorCode) - without} <= set(_CATALOGUE)

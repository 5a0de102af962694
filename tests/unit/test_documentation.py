"""What the documents say is what the code does."""

import re
from enum import Enum
from pathlib import Path

import pytest
from typer.main import get_command

from app.cli.program import app
from app.core.config import Settings
from app.core.texts import _CATALOGUE
from app.documents import ALL_KINDS
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


def test_both_readmes_have_the_same_shape() -> None:
    shapes = []
    for readme in READMES:
        text = (ROOT / readme).read_text(encoding="utf-8")
        shapes.append((text.count("\n## "), text.count("```"), len(re.findall(r"^\|", text, re.MULTILINE))))
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("page", [*READMES, *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))])
def test_every_link_leads_to_a_file(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_the_catalogue_has_every_state_and_both_languages_with_the_same_values() -> None:
    assert {f"state_{state}" for state in State} <= set(_CATALOGUE)
    for key, sentences in _CATALOGUE.items():
        assert all(sentences), key
        values = [set(re.findall(r"\{(\w+)", sentence)) for sentence in sentences]
        assert values[0] == values[1], key


def test_every_problem_on_the_wire_has_its_sentence() -> None:
    without = {ErrorCode.INVALID_DOCUMENT, ErrorCode.REFUSED}  # made of faults, or the partner's own words
    assert {code.value for code in set(ErrorCode) - without} <= set(_CATALOGUE)

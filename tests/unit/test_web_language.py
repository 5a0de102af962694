"""The console's catalogue: every sentence is translated, none is stale, and both say the same values."""

import re
from pathlib import Path
from typing import Any

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

from app.core.config import Language
from app.web.language import LOCALE, chosen, translations

ROOT = Path(__file__).parents[2]
KEYWORDS: dict[str, Any] = {"_": None, "N_": None, "gettext": None, "say": None, "InputError": None}
BELOW = (
    "domain/users.py",
    "domain/tokens.py",
    "services/access.py",
    "services/tokens.py",
    "services/bulk.py",
    "services/cursor.py",
    "db/replays.py",
)
PYTHON = [*(ROOT / "app/web").rglob("*.py"), *(ROOT / "app" / each for each in BELOW)]
TEMPLATES = sorted((ROOT / "app/web/templates").rglob("*.html"))


def used() -> set[str]:
    """Every sentence that templates and code show."""
    found: set[str] = set()
    for file in PYTHON:
        with file.open("rb") as code:
            found |= {message for _, message, _, _ in extract("python", code, KEYWORDS) if isinstance(message, str)}
    for file in TEMPLATES:
        with file.open("rb") as template:
            options = {"trimmed": "true"}
            taken = babel_extract(template, KEYWORDS, (), options)
            found |= {message for _, _, message, _ in taken if isinstance(message, str)}
    return found


def catalogue() -> dict[str, str]:
    """The Vietnamese catalogue: sentence → translation."""
    with (LOCALE / "vi/LC_MESSAGES/messages.po").open("rb") as file:
        return {str(each.id): str(each.string) for each in read_po(file, locale="vi") if each.id}


def test_every_sentence_is_translated() -> None:
    translated = {english for english, vietnamese in catalogue().items() if vietnamese.strip()}
    assert used() - translated == set()


def test_no_translation_is_stale_or_fuzzy() -> None:
    assert set(catalogue()) - used() == set()
    assert "#, fuzzy" not in (LOCALE / "vi/LC_MESSAGES/messages.po").read_text(encoding="utf-8")


def test_a_translation_names_the_same_values_and_elements_as_its_original() -> None:
    for english, vietnamese in catalogue().items():
        for pattern in (r"%\((\w+)\)s", r"</?\w+>"):
            assert sorted(re.findall(pattern, english)) == sorted(re.findall(pattern, vietnamese)), english


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: file.name)
def test_no_template_shows_a_word_that_is_not_translated(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    for translated in (r"\{% trans.*?endtrans %\}", r"\{#.*?#\}", r"\{%.*?%\}", r"\{\{.*?\}\}", r"<[^>]*>"):
        text = re.sub(translated, " ", text, flags=re.DOTALL)
    assert set(re.findall(r"[^\W\d_]{2,}", text)) <= {"Hermes", "HTTP"}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: file.name)
def test_no_template_has_a_script_or_style_of_its_own(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)|hx-on|\|\s*safe", text)
    assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", text)


def test_the_language_is_the_reader_s_choice_else_the_configured_one() -> None:
    assert chosen("en", Language.VI) is Language.EN
    assert chosen(None, Language.VI) is Language.VI
    assert chosen("xx; rm -rf", Language.EN) is Language.EN


def test_vietnamese_is_spoken_without_a_generated_file() -> None:
    assert translations(Language.VI).gettext("Overview") == "Tổng quan"
    assert translations(Language.EN).gettext("Overview") == "Overview"
    assert list(LOCALE.rglob("*.mo")) == []

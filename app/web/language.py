"""What the console says, in the reader's language.

Sentences stand in English in templates and code; `locale/<language>/LC_MESSAGES/messages.po` translates them. The
catalogues are compiled in memory when the application is made, so that no generated file is kept.
"""

from functools import cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

from app.core.config import Language

LOCALE = Path(__file__).parent / "locale"
COOKIE = "hermes_lang"


def N_(sentence: str) -> str:  # noqa: N802  gettext's own name for it
    """Mark a sentence that is translated later, where it is shown."""
    return sentence


@cache
def translations(language: Language) -> NullTranslations:
    """The catalogue of a language; English needs none."""
    if language is Language.EN:
        return NullTranslations()
    source = LOCALE / language / "LC_MESSAGES" / "messages.po"
    compiled = BytesIO()
    with source.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language.value))
    compiled.seek(0)
    return Translations(compiled)


def chosen(cookie: str | None, otherwise: Language) -> Language:
    """The language a reader chose, else the configured one."""
    return Language(cookie) if cookie in set(Language) else otherwise

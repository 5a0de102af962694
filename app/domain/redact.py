"""Keeping secrets and persons' names out of everything that is written down (P9)."""

import json
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

MASK = "***"
_SHORTEST_MASKED = 2
_DOTS = {ord("ı"): "i", 0x307: None}  # what case makes of the Turkish letters, to a pattern, is an i
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


@lru_cache(maxsize=4096)
def mask_name(name: str) -> str:
    """`Nguyễn Văn An` → `N*** V*** A***`: a clerk can still tell two people apart, a stranger learns nothing."""
    return " ".join(word[0] + MASK for word in name.split()) or MASK


def mask_names(text: str, names: Iterable[str]) -> str:
    """`text` with every occurrence of each whole name masked: whatever its case, its Unicode form, the blanks
    between its words, and whether JSON wrote its letters as `\\uXXXX`."""
    whole = {" ".join(name.split()) for name in names}
    folded = _folded(text) if whole else ""
    for name in sorted(whole, key=len, reverse=True):
        # A pattern is dear to make: only where all words of the name occur.
        if len(name) >= _SHORTEST_MASKED and all(word in folded for word in _folded_words(name)):
            text = _name_pattern(name).sub(mask_name(name), text)
    return text


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """`text` with every occurrence of each secret replaced, plain or as JSON would write it."""
    pattern = _secrets_pattern(tuple(secrets))
    return text if pattern is None else pattern.sub(MASK, text)


def printable(text: str) -> str:
    """`text` as it may be shown and stored: control characters and lone surrogates, which terminals and
    databases trip over, become U+FFFD; line ends and tabs become spaces."""
    if text.isprintable():
        return text
    return "".join(_printable_character(character) for character in text)


def _printable_character(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "\ufffd"


@lru_cache(maxsize=16)
def _secrets_pattern(secrets: tuple[str, ...]) -> re.Pattern[str] | None:
    written = {
        form
        for secret in secrets
        if len(secret) >= _SHORTEST_MASKED
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    }
    return re.compile("|".join(map(re.escape, sorted(written, key=len, reverse=True)))) if written else None


def _folded(text: str) -> str:
    """`text` in a form in which whatever `_name_pattern` takes for equal is equal."""
    if "\\u" in text:
        text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).translate(_DOTS)


@lru_cache(maxsize=4096)
def _folded_words(name: str) -> list[str]:
    return _folded(name).split()


@lru_cache(maxsize=256)
def _name_pattern(name: str) -> re.Pattern[str]:
    words = (_word_pattern(word) for word in name.split())
    return re.compile(r"(?:\s|\u00a0|\\u00a0)+".join(words), re.IGNORECASE)


def _word_pattern(word: str) -> str:
    composed, decomposed = (unicodedata.normalize(form, word) for form in ("NFC", "NFD"))
    written = dict.fromkeys([word, composed, decomposed, composed.upper(), decomposed.upper(), composed.lower()])
    forms = [re.escape(form) for form in written]
    forms += [re.escape(json.dumps(form)[1:-1]) for form in written if not form.isascii()]
    return f"(?:{'|'.join(forms)})"

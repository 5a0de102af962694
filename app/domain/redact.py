"""Keeping secrets and persons' names out of everything that is written down (P9)."""

import json
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

MASK = "***"
_SHORTEST_MASKED = 2


def mask_name(name: str) -> str:
    """`Nguyễn Văn An` → `N*** V*** A***`: a clerk can still tell two people apart, a stranger learns nothing."""
    return " ".join(word[0] + MASK for word in name.split()) or MASK


def mask_names(text: str, names: Iterable[str]) -> str:
    """`text` with every occurrence of each whole name masked: whatever its case, its Unicode form, the blanks
    between its words, and whether JSON wrote its letters as `\\uXXXX`."""
    for name in sorted({" ".join(name.split()) for name in names}, key=len, reverse=True):
        if len(name) >= _SHORTEST_MASKED:
            text = _name_pattern(name).sub(mask_name(name), text)
    return text


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """`text` with every occurrence of each secret replaced, plain or as JSON would write it."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_MASKED:
            for written in {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}:
                text = text.replace(written, MASK)
    return text


def printable(text: str) -> str:
    """`text` as it may be shown and stored: control characters and lone surrogates, which terminals and
    databases trip over, become U+FFFD; line ends and tabs become spaces."""
    return "".join(_printable_character(character) for character in text)


def _printable_character(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "\ufffd"


@lru_cache(maxsize=256)
def _name_pattern(name: str) -> re.Pattern[str]:
    words = (_word_pattern(word) for word in name.split())
    return re.compile(r"(?:\s|\u00a0|\\u00a0)+".join(words), re.IGNORECASE)


def _word_pattern(word: str) -> str:
    composed, decomposed = (unicodedata.normalize(form, word) for form in ("NFC", "NFD"))
    written = dict.fromkeys([composed, decomposed, composed.upper(), decomposed.upper(), composed.lower()])
    forms = [re.escape(form) for form in written]
    forms += [re.escape(json.dumps(form)[1:-1]) for form in written if not form.isascii()]
    return f"(?:{'|'.join(forms)})"

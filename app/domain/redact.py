"""Keeping secrets and persons' names out of everything that is written down (P9)."""

from collections.abc import Iterable

MASK = "***"
_SHORTEST_MASKED = 2


def mask_name(name: str) -> str:
    """`Nguyễn Văn An` → `N*** V*** A***`: a clerk can still tell two people apart, a stranger learns nothing."""
    return " ".join(word[0] + MASK for word in name.split()) or MASK


def mask_names(text: str, names: Iterable[str]) -> str:
    """`text` with every occurrence of each whole name masked, whatever its case."""
    for name in sorted({name.strip() for name in names}, key=len, reverse=True):
        if len(name) >= _SHORTEST_MASKED:
            text = _replace_ignoring_case(text, name, mask_name(name))
    return text


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """`text` with every occurrence of each secret replaced."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_MASKED:
            text = text.replace(secret, MASK)
    return text


def printable(text: str) -> str:
    """`text` as it may be shown and stored: control characters and lone surrogates, which terminals and
    databases trip over, become U+FFFD; line ends and tabs become spaces."""
    return "".join(_printable_character(character) for character in text)


def _printable_character(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "\ufffd"


def _replace_ignoring_case(text: str, old: str, new: str) -> str:
    lowered, needle = text.lower(), old.lower()
    if len(lowered) != len(text):  # a character that changes its length in lower case: stay exact
        return text.replace(old, new)
    pieces, start = [], 0
    while (at := lowered.find(needle, start)) >= 0:
        pieces += [text[start:at], new]
        start = at + len(needle)
    return "".join([*pieces, text[start:]])

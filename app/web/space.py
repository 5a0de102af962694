"""How much of a page may be taken by what others wrote: documents of any length, replies of a partner. It is counted as
HTML has it, so that a page stays small whatever they contain."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from markupsafe import escape

from app.domain.redact import printable

T = TypeVar("T")

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Cut:
    """A text as it is shown; `whole` is False where its end is missing."""

    text: str
    whole: bool


class Space:
    """What is left of a page, in bytes."""

    def __init__(self, size: int) -> None:
        self._left = size

    def text(self, text: str, longest: int) -> Cut:
        """The beginning of a text that fits into what is left, and into `longest` bytes."""
        shown, size = text, _size(text[: longest + 1])
        longest = max(0, min(longest, self._left))
        if len(text) > longest or size > longest:
            shown = text[:longest]
            while (size := _size(shown)) > longest:
                shown = shown[: len(shown) * longest // size]
        self._left -= size
        return Cut(shown, len(shown) == len(text))

    def word(self, text: str, longest: int = 240) -> str:
        """A value on one line, with an ellipsis for what does not fit."""
        cut = self.text(printable(text[: longest + 1]), longest)
        return cut.text if cut.whole and len(text) <= longest else f"{cut.text}…"

    def rows(self, rows: Iterable[T], each: int) -> Iterator[T]:
        """Rows while there is room; each takes `each` bytes besides its texts."""
        for row in rows:
            if self._left < each:
                return
            self._left -= each
            yield row


def pretty(body: str) -> str:
    """JSON with its structure to be seen; anything else as it is. Control characters are made visible."""
    with suppress(ValueError, RecursionError):
        value = _DECODER.decode(body)
        if _is_shallow(value, _DEEPEST):
            body = msgspec.json.format(_ENCODER.encode(value), indent=2).decode()
    return "\n".join(printable(line) for line in body.splitlines())


def _is_shallow(value: Any, levels: int) -> bool:
    """Indented, what is deep would grow a hundredfold."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(each, levels - 1) for each in inner)


def _size(text: str) -> int:
    return len(str(escape(text)).encode("utf-8", "replace"))

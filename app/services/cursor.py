"""Cursors: where a page of a list begins, as opaque text for links. Checked when it comes back: it must be of this
very list. It is no secret and gives no right; all that it says is bound as parameters."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import date, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from app.domain.errors import InputError
from app.domain.listing import Place, Turn

_LONGEST = 2000


class _Written(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    of: str
    backwards: bool
    type: str
    value: str
    key: str
    key2: str


def write_cursor(listing: object, place: Place, *, backwards: bool) -> str:
    """The page behind `place` (or before it) of the list that `listing` describes."""
    value, key, key2 = place
    kind = "moment" if isinstance(value, datetime) else "day" if isinstance(value, date) else ""
    written = _Written(_fingerprint(listing), backwards, kind, value.isoformat() if value else "", key, key2)
    return urlsafe_b64encode(msgspec.json.encode(written)).decode().rstrip("=")


def read_cursor(listing: object, cursor: str | None) -> Turn:
    """Where the page begins; the list's beginning for no cursor. Raises InputError for what is no cursor of it."""
    if not cursor:
        return Turn()
    try:
        if len(cursor) > _LONGEST:
            raise ValueError("too long")
        written = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=_Written)
        value = _value(written)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise InputError("This is no place in a list. Begin at the list's first page.") from None
    if written.of != _fingerprint(listing):
        raise InputError("This place belongs to a list with other filters. Begin at the list's first page.")
    return Turn((value, written.key, written.key2), written.backwards)


def _value(written: _Written) -> Any:
    if written.type == "moment":
        moment = datetime.fromisoformat(written.value)
        if moment.tzinfo is None:
            raise ValueError("a moment without its offset")
        return moment
    if written.type == "day":
        return date.fromisoformat(written.value)
    if written.type or written.value:
        raise ValueError("neither a moment nor a day")
    return None


def _fingerprint(listing: object) -> str:
    return blake2b(repr(listing).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()

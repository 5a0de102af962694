"""Which refusals have the same cause: their error code and what their messages say once the particulars are gone."""

import re
from hashlib import blake2b

from app.domain.errors import Problem

_LONGEST = 300
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|‘[^’]*’|`[^`]*`|(?<!\w)'[^']*'(?!\w)")
_WRONG_VALUE = re.compile(r"(không hợp lệ): [^;]*")
_WITH_DIGIT = re.compile(r"[^\W\d]*[-_./:]?(?:\d[\w./:,-]*\w|\d)")
_BLANKS = re.compile(r"\s+")


def normalised(message: str) -> str:
    """A message without its particulars: quoted values become `…`, numbers, dates and codes `#`; faults that are
    then the same are named once, in the order of the alphabet, so that it does not matter which line has which."""
    message = _WRONG_VALUE.sub(r"\1: …", _QUOTED.sub("…", message[:4000]))
    message = _BLANKS.sub(" ", _WITH_DIGIT.sub("#", message))
    parts = sorted({part.strip() for part in message.split(";")} - {""})
    return "; ".join(parts)[:_LONGEST]


def cause_of(problem: Problem) -> str:
    """A short name for the cause, the same on every machine: 16 hexadecimal digits."""
    return blake2b(f"{problem.code}\n{normalised(problem.message)}".encode(), digest_size=8).hexdigest()

"""Who may use the console, and what a role allows. Pure."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.errors import InputError

LONGEST_USER_NAME = 50
SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 256
_NAME = re.compile(r"[\w.@-]+")


class Role(StrEnum):
    """What a user may do; each role includes the ones before it."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # act on documents and circuits
    ADMIN = "admin"  # manage users

    def includes(self, other: "Role") -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class User:
    """A user of the console. Sessions of an earlier `session_epoch` are over."""

    name: str
    role: Role
    disabled: bool
    session_epoch: int
    created_at: datetime


def user_name(text: str) -> str:
    """The name as it is kept: one spelling, whatever case it is typed in. Raises InputError."""
    name = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).strip()
    if len(name) > LONGEST_USER_NAME or not _NAME.fullmatch(name):
        raise InputError("A user name has 1 to 50 letters, digits, dots, hyphens, underscores or @ signs.")
    return name


def check_password(password: str) -> None:
    """Raise InputError unless the password may be used."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InputError("A password has 10 to 256 characters.")

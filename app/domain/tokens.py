"""Tokens of the JSON API: what they look like, and what they allow. Pure."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from app.domain.errors import InputError
from app.domain.redact import printable
from app.domain.users import Role, User

LONGEST_PURPOSE = 100
MOST_DAYS = 3650
_TOKEN = re.compile(r"hermes_([0-9a-f]{8})_[\w-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token as it is kept: `prefix` to recognise it by, never the token itself."""

    prefix: str
    owner: str
    role: Role
    purpose: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    def is_good(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made; `text` is shown once and kept nowhere."""

    text: str
    token: ApiToken


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whoever shows a good token: its owner, with the token's role or the owner's own, whichever allows less."""

    owner: User
    token: ApiToken

    @property
    def role(self) -> Role:
        """What this bearer may do."""
        return self.token.role if self.owner.role.includes(self.token.role) else self.owner.role

    @property
    def who(self) -> str:
        """The name for the audit: `lan/1a2b3c4d`. No user's name has a slash."""
        return f"{self.owner.name}/{self.token.prefix}"


def made_up() -> tuple[str, str]:
    """A new token and its prefix: `hermes_1a2b3c4d_…`, which programs that look for leaked secrets can find."""
    prefix = secrets.token_hex(4)
    return f"hermes_{prefix}_{secrets.token_urlsafe(32)}", prefix


def prefix_of(text: str) -> str | None:
    """The prefix of a token; None for what cannot be one."""
    found = _TOKEN.fullmatch(text)
    return found[1] if found else None


def purpose_of(text: str) -> str:
    """What a token is for, as it is kept. Raises InputError."""
    purpose = " ".join(printable(text).split())
    if not 0 < len(purpose) <= LONGEST_PURPOSE:
        raise InputError("Say in 1 to 100 characters what the token is for.")
    return purpose

"""access: who is let into the console. Passwords are argon2 hashes; refusals tell nobody whether a name exists."""

import secrets
from datetime import timedelta
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.core.clock import Clock
from app.domain.errors import InputError
from app.domain.users import LONGEST_PASSWORD, LONGEST_USER_NAME, Role, User, check_password, user_name
from app.services.ports import Users

SETUP_LINK_LASTS = timedelta(hours=1)

PER_NAME = RateLimitItemPerMinute(10, 5)
PER_ADDRESS = RateLimitItemPerMinute(40, 5)
ALTOGETHER = RateLimitItemPerMinute(400, 5)
"""Logins within five minutes. The last keeps guessing from many addresses from filling the audit."""

HASHES_AT_ONCE = 2
"""Each takes 19 MiB: many logins at once wait for each other instead of for memory."""


class TooManyLogins(Exception):
    """Logins come too fast; nothing was looked at."""


class Access:
    """Logs users in and administers them. What is told to callers is the same for every way to be wrong."""

    def __init__(self, users: Users, clock: Clock) -> None:
        self._users = users
        self._clock = clock
        # OWASP's figures for argon2id where memory is dear: a container has 512 MiB for all.
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._nobodys_hash = self._hasher.hash(secrets.token_urlsafe(16))
        self._hashing = BoundedSemaphore(HASHES_AT_ONCE)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    # ---- coming in --------------------------------------------------------------------------------------

    def log_in(self, name: str, password: str, *, address: str) -> User | None:
        """The user, when name and password are right. Raises TooManyLogins."""
        known_as = _spelled(name)
        self._throttle(known_as, address)
        found = self._users.get(known_as)
        expected = self._users.password_hash(known_as)
        right = self._is_right(expected or self._nobodys_hash, password)
        if found is None or found.disabled or expected is None or not right:
            self._users.note_refusal(known_as or "?", address)
            return None
        self._limiter.clear(PER_NAME, "name", known_as)
        return found

    def session(self, name: str, epoch: int) -> User | None:
        """The user of a session that began in this epoch; None when it is over."""
        found = self._users.get(name)
        return None if found is None or found.disabled or found.session_epoch != epoch else found

    def setup_token(self) -> str | None:
        """A token with which the first user can be made; None when there are users."""
        return self._token("", SETUP_LINK_LASTS) if self._users.is_empty() else None

    def login_token(self, name: str, *, lasts: timedelta) -> str:
        """A token that logs this user in once, without a password."""
        return self._token(name, lasts)

    def can_set_up(self, token: str) -> bool:
        """Whether this token can still make the first user."""
        return self._users.is_empty() and self._users.has_setup_link(token)

    def set_up(self, token: str, name: str, password: str) -> User | None:
        """Make the first user, an admin; None when the link is spent. Raises InputError."""
        name, hashed = user_name(name), self._hash(password)
        return self._users.get(name) if self._users.set_up(token, name, hashed) else None

    def enter(self, token: str) -> User | None:
        """The user whom a one-time link lets in; None when it is spent."""
        return self._users.spend_link(token)

    # ---- administration ---------------------------------------------------------------------------------

    def add(self, name: str, role: Role, password: str | None, *, who: str) -> None:
        """Add a user, for instance one without a password, who comes in by link only. Raises InputError."""
        name = user_name(name)
        hashed = None if password is None else self._hash(password)
        if not self._users.add(name, role, hashed, who=who):
            raise InputError("There is a user of this name already.")

    def set_role(self, name: str, role: Role, *, who: str) -> None:
        """Give a user another role. Raises InputError."""
        self._require(name, self._users.set_role(_spelled(name), role, who=who))

    def set_disabled(self, name: str, disabled: bool, *, who: str) -> None:
        """Let a user in no more, or again. Raises InputError."""
        self._require(name, self._users.set_disabled(_spelled(name), disabled, who=who))

    def set_password(self, name: str, password: str, *, who: str) -> None:
        """Give a user another password. Raises InputError."""
        self._require(name, self._users.set_password(_spelled(name), self._hash(password), who=who))

    def change_own_password(self, user: User, old: str, new: str, *, address: str) -> bool:
        """A user's own change; False when the old one is wrong. Raises InputError, TooManyLogins."""
        check_password(new)
        self._throttle(user.name, address)
        if not self._is_right(self._users.password_hash(user.name) or self._nobodys_hash, old):
            return False
        self.set_password(user.name, new, who=user.name)
        return True

    def log_out(self, user: User) -> None:
        """End all of a user's sessions."""
        self._users.end_sessions(user.name)

    def _require(self, name: str, done: bool) -> None:
        if done:
            return
        if self._users.get(_spelled(name)) is None:
            raise InputError("There is no user of this name.")
        raise InputError("This is the last admin who may come in; make another one first.")

    def _throttle(self, name: str, address: str) -> None:
        limits: list[tuple[RateLimitItem, str, str]] = [
            (PER_ADDRESS, "address", address),
            (PER_NAME, "name", name),
            (ALTOGETHER, "all", ""),
        ]
        if not all(self._limiter.hit(*limit) for limit in limits):
            raise TooManyLogins

    def _is_right(self, expected: str, password: str) -> bool:
        with self._hashing:
            try:
                return self._hasher.verify(expected, _bytes(password[: LONGEST_PASSWORD + 1]))
            except (VerificationError, InvalidHashError):
                return False

    def _hash(self, password: str) -> str:
        check_password(password)
        with self._hashing:
            return self._hasher.hash(_bytes(password))

    def _token(self, name: str, lasts: timedelta) -> str:
        token = secrets.token_urlsafe(32)
        self._users.add_link(token, name, expires_at=self._clock.now() + lasts)
        return token


def _spelled(name: str) -> str:
    """The name as it would be kept; "" for what no user can be called."""
    try:
        return user_name(name[: 4 * LONGEST_USER_NAME])
    except InputError:
        return ""


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")

"""tokens: which programs are let into the JSON API. Only hashes are kept; a refusal tells nobody why."""

import hashlib
import hmac
from datetime import timedelta

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.core.clock import Clock
from app.domain.errors import InputError
from app.domain.tokens import MOST_DAYS, ApiToken, Bearer, NewToken, made_up, prefix_of, purpose_of
from app.domain.users import Role, user_name
from app.services.ports import TokenStore, Users

log = structlog.get_logger(__name__)

NOTED_EVERY = timedelta(minutes=5)
"""How exactly a token's last use is known: reading must not become writing."""

REFUSALS = RateLimitItemPerMinute(40, 5)
"""Wrong tokens from one address within five minutes; then nothing of it is looked at, as with logins."""


class TooManyTokens(Exception):
    """Wrong tokens come too fast from this address; nothing was looked at."""


class Tokens:
    """Makes, lists and revokes tokens, and tells whose a token is."""

    def __init__(self, store: TokenStore, users: Users, clock: Clock) -> None:
        self._store = store
        self._users = users
        self._clock = clock
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def create(self, owner: str, role: Role, purpose: str, *, days: int, who: str) -> NewToken:
        """Make a token for a user, good for `days` days; audited. Raises InputError."""
        name, purpose = user_name(owner), purpose_of(purpose)
        if not 1 <= days <= MOST_DAYS:
            raise InputError("A token is good for 1 to 3650 days.")
        found = self._users.get(name)
        if found is None:
            raise InputError("There is no user of this name.")
        if found.disabled:
            raise InputError("This user is disabled: a token would not work.")
        if not found.role.includes(role):
            raise InputError("A token's role is at most its owner's.")
        text, prefix = made_up()
        now = self._clock.now()
        token = ApiToken(prefix, name, role, purpose, now, now + timedelta(days=days), None, None)
        if not self._store.add(token, _sha256(text), who=who):
            return self.create(owner, role, purpose, days=days, who=who)  # the prefix was taken: one in billions
        return NewToken(text, token)

    def all(self) -> list[ApiToken]:
        """Every token, the latest first; also those that are good no more."""
        return self._store.all()

    def revoke(self, prefix: str, *, who: str) -> None:
        """Let a token in no more; audited. Raises InputError when there is none that could be revoked."""
        if not self._store.revoke(prefix, who=who):
            raise InputError("There is no such token, or it is revoked already.")

    def admit(self, text: str, *, address: str) -> Bearer | None:
        """Whose a token is; None for every way to be wrong. Raises TooManyTokens."""
        if not self._limiter.test(REFUSALS, address):
            raise TooManyTokens
        bearer = self._bearer(text)
        if bearer is None:
            self._limiter.hit(REFUSALS, address)
            log.warning("api_token_refused", address=address, token=prefix_of(text))
        return bearer

    def _bearer(self, text: str) -> Bearer | None:
        prefix = prefix_of(text)
        found = self._store.get(prefix) if prefix else None
        if found is None:
            return None
        token, owner, sha256 = found
        now = self._clock.now()
        if not hmac.compare_digest(sha256, _sha256(text)) or not token.is_good(now) or owner.disabled:
            return None
        if token.last_used_at is None or token.last_used_at <= now - NOTED_EVERY:
            self._store.note_use(token.prefix, unless_since=now - NOTED_EVERY)
        return Bearer(owner, token)


def _sha256(text: str) -> str:
    """A token has 256 random bits: there is nothing that a slow hash would have to make harder to guess."""
    return hashlib.sha256(text.encode()).hexdigest()

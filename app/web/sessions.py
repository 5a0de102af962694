"""Cookies that say who asks: signed, expiring, and bound to what a user may end at once; and the tokens of forms.

A session carries the user's epoch in the ledger. A visit is a session of nobody: it binds the login form to a browser.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from itsdangerous import BadData, URLSafeSerializer

from app.core.clock import Clock
from app.domain.users import User

VISIT_LASTS = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says; `user` is None for a visit."""

    id: str
    user: str | None
    epoch: int


class Sessions:
    """Reads and makes cookies. `key` is asked for once, on first use."""

    def __init__(self, key: Callable[[], str], clock: Clock, lasts: timedelta) -> None:
        self._key = key
        self._clock = clock
        self.lasts = lasts

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None when it is forged, damaged or expired."""
        if not cookie:
            return None
        try:
            kept_id, user, epoch, until = self._signer.loads(cookie)
        except (BadData, ValueError, TypeError):
            return None
        return Session(kept_id, user, epoch) if until > self._clock.now().timestamp() else None

    def begin(self, user: User) -> str:
        """A new session's cookie."""
        return self._made(user.name, user.session_epoch, self.lasts)

    def visit(self) -> str:
        """A new visit's cookie."""
        return self._made(None, 0, VISIT_LASTS)

    def form_token(self, session: Session) -> str:
        """What every form of this session carries, and no other site can know."""
        return hmac.new(self._secret, f"form {session.id}".encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, session: Session, given: str) -> bool:
        """Whether a form is this session's own."""
        return hmac.compare_digest(self.form_token(session).encode(), given.encode("utf-8", "surrogatepass"))

    def _made(self, user: str | None, epoch: int, lasts: timedelta) -> str:
        until = int((self._clock.now() + lasts).timestamp())
        return str(self._signer.dumps([secrets.token_urlsafe(16), user, epoch, until]))

    @cached_property
    def _secret(self) -> bytes:
        return self._key().encode()

    @cached_property
    def _signer(self) -> URLSafeSerializer:
        options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        return URLSafeSerializer(self._secret, salt="hermes.session", signer_kwargs=options)

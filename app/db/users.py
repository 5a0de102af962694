"""The console's users, their one-time links and the key their sessions are signed with.

Every change is one guarded UPDATE or DELETE in a transaction with its audit entry, and ends the user's sessions.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, exists, func, insert, not_, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.core.clock import Clock
from app.db.audit import record
from app.db.engine import patiently, reading, writing
from app.db.tables import link, secret, user
from app.domain.users import Role, User

_USER_COLUMNS = [user.c[name] for name in User.__dataclass_fields__]
_SETUP = ""


class SqlUsers:
    """`hermes_user`, `hermes_link` and `hermes_secret`."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @patiently
    def get(self, name: str) -> User | None:
        """One user, or None."""
        with reading(self._engine) as connection:
            row = connection.execute(select(*_USER_COLUMNS).where(user.c.name == name)).one_or_none()
        return None if row is None else _as_user(row)

    @patiently
    def all(self) -> list[User]:
        """Every user, by name."""
        with reading(self._engine) as connection:
            return [_as_user(row) for row in connection.execute(select(*_USER_COLUMNS).order_by(user.c.name))]

    @patiently
    def password_hash(self, name: str) -> str | None:
        """The argon2 hash; None for nobody and for who has no password."""
        with reading(self._engine) as connection:
            found: str | None = connection.scalar(select(user.c.password_hash).where(user.c.name == name))
            return found

    @patiently
    def add(self, name: str, role: Role, password_hash: str | None, *, who: str) -> bool:
        """Add a user; audited. False when the name is taken."""
        try:
            with writing(self._engine) as connection:
                self._insert(connection, name, role, password_hash, who)
        except IntegrityError:
            return False
        return True

    @patiently
    def set_role(self, name: str, role: Role, *, who: str) -> bool:
        """Change a role; audited. False when there is no such user or no other admin would be left."""
        guard = () if role is Role.ADMIN else (_others_remain(name),)
        return self._change(name, {"role": role}, "user_role", who, role, *guard)

    @patiently
    def set_disabled(self, name: str, disabled: bool, *, who: str) -> bool:
        """Let a user in no more, or again; audited. False as with `set_role`."""
        guard = (_others_remain(name),) if disabled else ()
        return self._change(
            name, {"disabled": disabled}, "user_disable" if disabled else "user_enable", who, "", *guard
        )

    @patiently
    def set_password(self, name: str, password_hash: str, *, who: str) -> bool:
        """Change a password; audited. False when there is no such user."""
        return self._change(name, {"password_hash": password_hash}, "user_password", who, "")

    @patiently
    def end_sessions(self, name: str) -> None:
        """Log a user out everywhere."""
        with writing(self._engine) as connection:
            connection.execute(update(user).where(user.c.name == name).values(session_epoch=user.c.session_epoch + 1))

    @patiently
    def note_refusal(self, name: str, address: str) -> None:
        """A login was refused; for the audit."""
        with writing(self._engine) as connection:
            self._note(connection, "login_refused", name, name, address)

    @patiently
    def add_link(self, token: str, user_name: str, *, expires_at: datetime) -> None:
        """Keep a one-time link's token, hashed; links that expired are forgotten."""
        with writing(self._engine) as connection:
            connection.execute(delete(link).where(link.c.expires_at <= self._clock.now()))
            connection.execute(
                insert(link).values(token_sha256=_sha256(token), user_name=user_name, expires_at=expires_at)
            )

    @patiently
    def has_setup_link(self, token: str) -> bool:
        """Whether this token may still set up the first user."""
        with reading(self._engine) as connection:
            return connection.scalar(select(link.c.user_name).where(*self._usable(token))) == _SETUP

    @patiently
    def set_up(self, token: str, name: str, password_hash: str) -> bool:
        """Spend a set-up link on the first user, an admin; every other set-up link dies with it. False when it
        cannot be spent."""
        unused = (*self._usable(token), link.c.user_name == _SETUP, not_(exists(select(user.c.name))))
        with writing(self._engine) as connection:
            if connection.execute(delete(link).where(*unused)).rowcount != 1:
                return False
            connection.execute(delete(link).where(link.c.user_name == _SETUP))
            self._insert(connection, name, Role.ADMIN, password_hash, name)
            return True

    @patiently
    def spend_link(self, token: str) -> User | None:
        """The user whom a login link lets in; it does so once."""
        with writing(self._engine) as connection:
            mine = (*self._usable(token), link.c.user_name != _SETUP)
            name = connection.scalar(select(link.c.user_name).where(*mine))
            if name is None or connection.execute(delete(link).where(*mine)).rowcount != 1:
                return None
            row = connection.execute(select(*_USER_COLUMNS).where(user.c.name == name)).one_or_none()
        return None if row is None or row.disabled else _as_user(row)

    @patiently
    def is_empty(self) -> bool:
        """Whether there is no user yet."""
        with reading(self._engine) as connection:
            return not connection.scalar(select(func.count()).select_from(user))

    @patiently
    def kept_secret(self, name: str) -> str:
        """A secret that all processes share, made when it is first asked for."""
        mine = select(secret.c.value).where(secret.c.name == name)
        with reading(self._engine) as connection:
            found: str | None = connection.scalar(mine)
        if found is not None:
            return found
        try:
            with writing(self._engine) as connection:
                made = secrets.token_urlsafe(48)
                connection.execute(insert(secret).values(name=name, value=made))
                return made
        except IntegrityError:  # another process was faster
            with reading(self._engine) as connection:
                return str(connection.scalar(mine))

    def _insert(self, connection: Connection, name: str, role: Role, password_hash: str | None, who: str) -> None:
        values = {"name": name, "role": role, "password_hash": password_hash, "disabled": False}
        connection.execute(insert(user).values(**values, session_epoch=1, created_at=self._clock.now()))
        self._note(connection, "user_add", name, who, role)

    def _change(
        self, name: str, values: dict[str, Any], action: str, who: str, why: str, *guard: ColumnElement[bool]
    ) -> bool:
        ended = {"session_epoch": user.c.session_epoch + 1}
        with writing(self._engine) as connection:
            if not connection.execute(update(user).where(user.c.name == name, *guard).values(values | ended)).rowcount:
                return False
            self._note(connection, action, name, who, why)
            return True

    def _note(self, connection: Connection, action: str, name: str, who: str, why: str) -> None:
        record(connection, [name], at=self._clock.now(), who=who, action=action, kind="", why=str(why))

    def _usable(self, token: str) -> Sequence[ColumnElement[bool]]:
        return (link.c.token_sha256 == _sha256(token), link.c.expires_at > self._clock.now())


def _others_remain(name: str) -> ColumnElement[bool]:
    """No admin, or not the last one who may come in."""
    other = user.alias("other")
    remaining = exists(
        select(other.c.name).where(other.c.name != name, other.c.role == Role.ADMIN, not_(other.c.disabled))
    )
    return or_(user.c.role != Role.ADMIN, user.c.disabled, remaining)


def _as_user(row: Row[Any]) -> User:
    values = dict(row._mapping)
    return User(**{**values, "role": Role(values["role"]), "disabled": bool(values["disabled"])})


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()

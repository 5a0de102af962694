"""`hermes_token`: the tokens of the JSON API, as hashes."""

from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, Select, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.core.clock import Clock
from app.db.audit import record
from app.db.engine import patiently, reading, writing
from app.db.tables import token, user
from app.domain.tokens import ApiToken
from app.domain.users import Role, User

_COLUMNS = [token.c[name] for name in ApiToken.__dataclass_fields__]
_OWNER = [user.c[name].label(f"user_{name}") for name in User.__dataclass_fields__]


class SqlTokens:
    """Each change is one statement in a transaction with its audit entry."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @patiently
    def add(self, new: ApiToken, sha256: str, *, who: str) -> bool:
        """Keep a token's hash; audited. False when the prefix is taken."""
        values = {name: getattr(new, name) for name in ApiToken.__dataclass_fields__}
        why = f"{new.owner}, {new.role}: {new.purpose}"
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(token).values(**values, token_sha256=sha256))
                record(connection, [new.prefix], at=self._clock.now(), who=who, action="token_create", kind="", why=why)
        except IntegrityError:
            return False
        return True

    @patiently
    def all(self) -> list[ApiToken]:
        """Every token, the latest first."""
        statement = select(*_COLUMNS).order_by(token.c.created_at.desc(), token.c.prefix)
        with reading(self._engine) as connection:
            return [_as_token(row) for row in connection.execute(statement)]

    @patiently
    def get(self, prefix: str) -> tuple[ApiToken, User, str] | None:
        """A token with its owner and its hash; None when there is none."""
        both = token.join(user, user.c.name == token.c.owner)
        statement: Select[Any] = select(*_COLUMNS, *_OWNER, token.c.token_sha256).select_from(both)
        with reading(self._engine) as connection:
            row = connection.execute(statement.where(token.c.prefix == prefix)).one_or_none()
        return None if row is None else (_as_token(row), _as_owner(row), row.token_sha256)

    @patiently
    def revoke(self, prefix: str, *, who: str) -> bool:
        """Let a token in no more; audited. False when there is none, or when it is revoked."""
        now = self._clock.now()
        mine = (token.c.prefix == prefix, token.c.revoked_at.is_(None))
        with writing(self._engine) as connection:
            if not connection.execute(update(token).where(*mine).values(revoked_at=now)).rowcount:
                return False
            record(connection, [prefix], at=now, who=who, action="token_revoke", kind="", why="")
            return True

    @patiently
    def note_use(self, prefix: str, *, unless_since: datetime) -> None:
        """Note that a token was used now, unless that was noted lately."""
        stale = or_(token.c.last_used_at.is_(None), token.c.last_used_at <= unless_since)
        with writing(self._engine) as connection:
            mine = update(token).where(token.c.prefix == prefix, stale)
            connection.execute(mine.values(last_used_at=self._clock.now()))


def _as_token(row: Row[Any]) -> ApiToken:
    values = {name: getattr(row, name) for name in ApiToken.__dataclass_fields__}
    return ApiToken(**{**values, "role": Role(values["role"])})


def _as_owner(row: Row[Any]) -> User:
    values = {name: getattr(row, f"user_{name}") for name in User.__dataclass_fields__}
    return User(**{**values, "role": Role(values["role"]), "disabled": bool(values["disabled"])})

"""Tokens of the JSON API: made once, kept as hashes, good for whom and as long as they say."""

from collections.abc import Callable
from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy import text

from app.domain.errors import InputError
from app.domain.listing import AuditFilter
from app.domain.tokens import prefix_of
from app.domain.users import Role
from app.services.tokens import NOTED_EVERY, TooManyTokens
from app.wiring import Gateway
from tests.integration.conftest import SettableClock

HERE = "192.0.2.7"


@pytest.fixture
def gateway(open_gateway: Callable[..., Gateway]) -> Gateway:
    """A gateway with one user of each role."""
    made = open_gateway()
    for role in Role:
        made.access.add(role.value, role, None, who="test")
    made.access.add("boss", Role.ADMIN, None, who="test")
    return made


def make(gateway: Gateway, owner: str = "operator", role: Role = Role.OPERATOR, days: int = 30) -> str:
    return gateway.tokens.create(owner, role, "báo cáo", days=days, who="lan").text


def test_a_token_is_kept_nowhere_and_says_whose_it_is(gateway: Gateway) -> None:
    made = gateway.tokens.create(" Operator ", Role.VIEWER, " night\n report ", days=30, who="lan")
    bearer = gateway.tokens.admit(made.text, address=HERE)
    assert bearer is not None
    assert (bearer.owner.name, bearer.role, bearer.who) == ("operator", Role.VIEWER, f"operator/{made.token.prefix}")
    assert made.text.startswith(f"hermes_{made.token.prefix}_")
    with gateway.engine.connect() as connection:
        kept = [str(tuple(row)) for row in connection.execute(text("SELECT * FROM hermes_token"))]
        kept += [str(tuple(row)) for row in connection.execute(text("SELECT * FROM hermes_audit"))]
    assert not [row for row in kept if made.text.rpartition("_")[2] in row]
    assert [(each.prefix, each.purpose) for each in gateway.tokens.all()] == [(made.token.prefix, "night report")]


@pytest.mark.parametrize(("owned", "given"), list(product(Role, Role)))
def test_a_token_never_allows_more_than_its_owner(gateway: Gateway, owned: Role, given: Role) -> None:
    if not owned.includes(given):
        with pytest.raises(InputError, match="at most its owner's"):
            make(gateway, owned.value, given)
        return
    token = make(gateway, owned.value, given)
    found = gateway.tokens.admit(token, address=HERE)
    assert found is not None
    assert found.role is given
    gateway.access.set_role(owned.value, Role.VIEWER, who="boss")
    lowered = gateway.tokens.admit(token, address=HERE)
    assert lowered is not None
    assert lowered.role is Role.VIEWER


def test_a_token_ends_when_it_expires_is_revoked_or_its_owner_is_disabled(
    gateway: Gateway, clock: SettableClock
) -> None:
    revoked, orphaned, late = (make(gateway) for _ in range(3))
    gateway.tokens.revoke(prefix_of(revoked) or "", who="lan")
    assert gateway.tokens.admit(revoked, address=HERE) is None
    gateway.access.set_disabled("operator", True, who="lan")
    assert gateway.tokens.admit(orphaned, address=HERE) is None
    gateway.access.set_disabled("operator", False, who="lan")
    assert gateway.tokens.admit(orphaned, address=HERE) is not None
    clock.forward(days=29, hours=23, minutes=59)
    assert gateway.tokens.admit(late, address=HERE) is not None
    clock.forward(minutes=1)
    assert gateway.tokens.admit(late, address=HERE) is None


def test_what_is_no_token_or_nearly_one_is_nobody_s(gateway: Gateway) -> None:
    token = make(gateway)
    changed = [
        token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :] for place in range(len(token))
    ]
    hostile = ["", " ", "hermes_", "é\ud800", "' OR 1=1; --", token.upper(), f"{token}x", f" {token}", token[:-1]]
    for number, each in enumerate(changed + hostile):
        assert gateway.tokens.admit(each, address=f"192.0.2.{number}") is None, each


def test_wrong_tokens_are_slowed_down_from_where_they_come(gateway: Gateway) -> None:
    token = make(gateway)
    for _ in range(40):
        assert gateway.tokens.admit("wrong", address=HERE) is None
    with pytest.raises(TooManyTokens):
        gateway.tokens.admit(token, address=HERE)
    assert gateway.tokens.admit(token, address="192.0.2.8") is not None


def test_right_tokens_are_never_slowed_down(gateway: Gateway) -> None:
    token = make(gateway)
    assert all(gateway.tokens.admit(token, address=HERE) for _ in range(50))


def test_the_last_use_is_noted_now_and_then(gateway: Gateway, clock: SettableClock) -> None:
    token = make(gateway)
    assert gateway.tokens.all()[0].last_used_at is None
    first = clock.moment
    for seconds in (0, NOTED_EVERY.total_seconds() - 1):
        clock.forward(seconds=seconds)
        gateway.tokens.admit(token, address=HERE)
        assert gateway.tokens.all()[0].last_used_at == first
    clock.forward(seconds=1)
    gateway.tokens.admit(token, address=HERE)
    assert gateway.tokens.all()[0].last_used_at == first + timedelta(minutes=5)


def test_making_and_revoking_are_audited(gateway: Gateway) -> None:
    prefix = prefix_of(make(gateway)) or ""
    gateway.tokens.revoke(prefix, who="trực đêm")
    with pytest.raises(InputError, match="revoked already"):
        gateway.tokens.revoke(prefix, who="trực đêm")
    found = [
        (each.action, each.who, each.code, each.why)
        for each in gateway.lists.audit(AuditFilter(code=prefix)).rows
    ]  # fmt: skip
    assert sorted(found) == [
        ("token_create", "lan", prefix, "operator, operator: báo cáo"),
        ("token_revoke", "trực đêm", prefix, ""),
    ]


@pytest.mark.parametrize(
    ("owner", "purpose", "days", "said"),
    [
        ("nobody", "x", 30, "no user of this name"),
        ("no such name!", "x", 30, "A user name has"),
        ("gone", "x", 30, "is disabled"),
        ("operator", " \n ", 30, "what the token is for"),
        ("operator", "x" * 101, 30, "what the token is for"),
        ("operator", "x", 0, "1 to 3650 days"),
        ("operator", "x", 3651, "1 to 3650 days"),
    ],
)
def test_what_makes_no_sense_is_refused(gateway: Gateway, owner: str, purpose: str, days: int, said: str) -> None:
    gateway.access.add("gone", Role.VIEWER, None, who="test")
    gateway.access.set_disabled("gone", True, who="test")
    with pytest.raises(InputError, match=said):
        gateway.tokens.create(owner, Role.VIEWER, purpose, days=days, who="lan")
    assert gateway.tokens.all() == []

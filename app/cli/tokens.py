"""`hermes token …`: which programs may use the JSON API."""

import getpass
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from app.cli.output import AsJson, console, fields, open_gateway, print_json, safe, say, text
from app.core.clock import local
from app.domain.tokens import ApiToken
from app.domain.users import Role
from app.services.tokens import Tokens

app = typer.Typer(help="Which programs may use the JSON API, as whom and for how long.", no_args_is_help=True)

Who = Annotated[str | None, typer.Option("--who", help="Your name, for the audit; default: the login name.")]


@app.command("create", epilog="Example: hermes token create lan --purpose 'night report' --days 90")
def create(
    owner: Annotated[str, typer.Argument(help="The user for whom the program works.")],
    purpose: Annotated[str, typer.Option(help="What the token is for, to recognise it by.")],
    role: Annotated[Role, typer.Option(help="What the program may do; at most what its owner may.")] = Role.VIEWER,
    days: Annotated[int, typer.Option(help="For how many days it is good.")] = 365,
    who: Who = None,
    as_json: AsJson = False,
) -> None:
    """Make a token. It is written to standard output, once; only its hash is kept."""
    made = _tokens().create(owner, role, purpose, days=days, who=_who(who))
    if as_json:
        print_json({"token": made.text, **fields(made.token)})
        return
    until = f"{local(made.token.expires_at):%d/%m/%Y}"
    say(text("token_created", owner=made.token.owner, role=text(f"role_{made.token.role}"), until=until))
    sys.stdout.write(f"{made.text}\n")


@app.command("list", epilog="Example: hermes token list --json")
def show(as_json: AsJson = False) -> None:
    """Every token, the latest first; never the tokens themselves."""
    found = _tokens().all()
    if as_json:
        print_json({"tokens": [fields(each) for each in found]})
        return
    if not found:
        say(text("no_tokens"))
        return
    table = Table()
    table.add_column(text("token").capitalize(), no_wrap=True, min_width=len(found[0].prefix))  # to be copied whole
    for heading in ("user_name", "user_role", "token_purpose", "token_expires", "token_last_used", "state"):
        table.add_column(text(heading).capitalize())
    for each in found:
        used = text("never") if each.last_used_at is None else f"{local(each.last_used_at):%d/%m/%Y %H:%M}"
        table.add_row(
            each.prefix, each.owner, text(f"role_{each.role}"), safe(each.purpose),
            f"{local(each.expires_at):%d/%m/%Y}", used, text(_state(each)),
        )  # fmt: skip
    console.print(table)


@app.command("revoke", epilog="Example: hermes token revoke 1a2b3c4d")
def revoke(
    prefix: Annotated[str, typer.Argument(help="The eight characters after hermes_; see hermes token list.")],
    who: Who = None,
) -> None:
    """Let a token in no more."""
    _tokens().revoke(prefix, who=_who(who))
    say(text("token_revoked", token=prefix))


def _state(token: ApiToken) -> str:
    if token.revoked_at is not None:
        return "token_is_revoked"
    return "token_is_good" if token.is_good(datetime.now(UTC)) else "token_is_expired"


def _tokens() -> Tokens:
    return open_gateway(quiet=True).tokens


def _who(given: str | None) -> str:
    return given or getpass.getuser()

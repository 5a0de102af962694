"""`hermes user …`: who may use the console. Passwords are asked for or read from standard input, never arguments."""

import getpass
import sys
from typing import Annotated

import typer
from rich.table import Table

from app.cli.output import AsJson, console, fields, open_gateway, print_json, say, text
from app.core.clock import local
from app.domain.errors import InputError
from app.domain.users import Role
from app.services.access import Access

app = typer.Typer(
    help="Who may use the console: viewers look, operators act, admins manage users.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The user's name.")]
Who = Annotated[str | None, typer.Option("--who", help="Your name, for the audit; default: the login name.")]


@app.command("add", epilog="Example: hermes user add lan --role operator")
def add(
    name: Name, role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.VIEWER, who: Who = None
) -> None:
    """Add a user. The password is asked for, or read as one line from standard input."""
    _access().add(name, role, _new_password(), who=_who(who))
    say(text("user_added", name=name, role=text(f"role_{role}")))


@app.command("list", epilog="Example: hermes user list --json")
def show(as_json: AsJson = False) -> None:
    """Every user."""
    users = open_gateway(quiet=True).users.all()
    if as_json:
        print_json({"users": [fields(each) for each in users]})
        return
    if not users:
        say(text("no_users"))
        return
    table = Table()
    for heading in ("user_name", "user_role", "user_since", "user_disabled"):
        table.add_column(text(heading).capitalize())
    for each in users:
        since = f"{local(each.created_at):%d/%m/%Y}"
        table.add_row(each.name, text(f"role_{each.role}"), since, "✓" if each.disabled else "")
    console.print(table)


@app.command("disable", epilog="Example: hermes user disable lan")
def disable(name: Name, who: Who = None) -> None:
    """Let a user in no more. Refused for the last admin."""
    _access().set_disabled(name, True, who=_who(who))
    say(text("user_changed", name=name))


@app.command("enable", epilog="Example: hermes user enable lan")
def enable(name: Name, who: Who = None) -> None:
    """Let a disabled user in again."""
    _access().set_disabled(name, False, who=_who(who))
    say(text("user_changed", name=name))


@app.command("role", epilog="Example: hermes user role lan admin")
def role(name: Name, role: Annotated[Role, typer.Argument(help="The new role.")], who: Who = None) -> None:
    """Give a user another role. Refused for the last admin."""
    _access().set_role(name, role, who=_who(who))
    say(text("user_changed", name=name))


@app.command("password", epilog="Example: hermes user password lan")
def password(name: Name, who: Who = None) -> None:
    """Give a user another password: asked for, or read as one line from standard input."""
    _access().set_password(name, _new_password(), who=_who(who))
    say(text("user_changed", name=name))


def _access() -> Access:
    gateway = open_gateway(quiet=True)
    _ = gateway.ledger
    return gateway.access


def _who(given: str | None) -> str:
    return given or getpass.getuser()


def _new_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(text("ask_password"), hide_input=True, confirmation_prompt=True, err=True))
    given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise InputError("Nobody can be asked here: give the password as one line on standard input.")
    return given

"""The console as a process: its first link, its users, its place beside the work of `hermes up`."""

import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from simulator.process import SimulatorHandle
from tests.e2e.conftest import Roles

PATIENCE_SECONDS = 40


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait_for(roles: Roles, name: str, pattern: str) -> re.Match[str]:
    """What a role writes, once it has."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := re.search(pattern, roles.log(name)):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{pattern} is not in:\n{roles.log(name)}")


def status_of(url: str) -> int:
    """The HTTP status at an address; 0: nobody is there yet."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            time.sleep(0.05)
    return 0


def test_the_console_starts_says_how_to_begin_and_ends_on_sigterm(make_roles: Callable[..., Roles]) -> None:
    port = free_port()
    roles = make_roles(console_port=port, progress_folder="progress")
    without_ledger = roles.run("console")
    assert (without_ledger.returncode, "hermes db upgrade" in without_ledger.stderr) == (3, True)
    assert roles.run("db", "upgrade").returncode == 0
    process = roles.start("console", "app", "console")
    link = wait_for(roles, "console", rf"http://127\.0\.0\.1:{port}/setup/[\w-]+")
    assert status_of(link[0]) == 200
    assert status_of(f"http://127.0.0.1:{port}/healthz") == 200
    assert roles.healthcheck().returncode == 0
    process.terminate()
    assert process.wait(timeout=20) in {0, -15}
    assert "Traceback" not in roles.log("console")


def test_a_network_over_plain_http_is_refused_before_anything_starts(
    make_roles: Callable[..., Roles], partner: SimulatorHandle
) -> None:
    roles = make_roles(console_host="0.0.0.0", api_base_url=partner.url)
    assert roles.run("db", "upgrade").returncode == 0
    for command in ("console", "up"):
        done = roles.run(command)
        assert (done.returncode, "CONSOLE_ALLOW_PLAIN_HTTP" in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr


def test_users_are_managed_from_the_command_line_and_no_password_is_an_argument(
    make_roles: Callable[..., Roles], tmp_path: Path
) -> None:
    roles = make_roles()
    assert roles.run("db", "upgrade").returncode == 0

    def hermes(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "app", "user", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=roles.environment, input=given, capture_output=True, text=True, check=False
        )

    assert "hermes user add" in hermes("list").stderr
    assert hermes("add", "Lan", "--role", "admin", given="một mật khẩu dài\n").returncode == 0
    assert hermes("add", "lan", given="một mật khẩu dài\n").returncode == 2
    assert hermes("add", "minh", given="short\n").returncode == 2
    assert hermes("add", "minh").returncode == 2
    assert hermes("add", "minh", given="một mật khẩu dài\n").returncode == 0
    assert hermes("disable", "lan").returncode == 2
    assert "last admin" in hermes("role", "lan", "viewer").stderr
    assert hermes("role", "minh", "admin", "--who", "trực đêm").returncode == 0
    for command in (("disable", "lan"), ("enable", "lan")):
        assert hermes(*command).returncode == 0
    assert hermes("password", "minh", given="ein anderes Kennwort\n").returncode == 0
    assert hermes("disable", "nobody").returncode == 2
    users = json.loads(hermes("list", "--json").stdout)["users"]
    assert [(each["name"], each["role"], each["disabled"]) for each in users] == [
        ("lan", "admin", False),
        ("minh", "admin", False),
    ]
    with sqlite3.connect(tmp_path / "hermes.db") as database:
        stored = str(database.execute("SELECT * FROM hermes_user").fetchall())
        entries = database.execute("SELECT who, why FROM hermes_audit WHERE action = 'user_role'").fetchall()
    assert "mật khẩu" not in stored
    assert "$argon2id$" in stored
    assert entries == [("trực đêm", "admin")]


def test_tokens_are_managed_from_the_command_line_and_printed_once(
    make_roles: Callable[..., Roles], tmp_path: Path
) -> None:
    roles = make_roles(hermes_lang="vi")
    assert roles.run("db", "upgrade").returncode == 0

    def hermes(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "app", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=roles.environment, input=given, capture_output=True, text=True, check=False
        )

    assert "hermes token create" in hermes("token", "list").stderr
    assert hermes("user", "add", "lan", "--role", "operator", given="một mật khẩu dài\n").returncode == 0
    made = hermes("token", "create", "lan", "--purpose", "báo cáo đêm")
    assert re.fullmatch(r"hermes_[0-9a-f]{8}_[\w-]{43}\n", made.stdout), made.stderr
    assert "chỉ hiện một lần" in made.stderr
    assert hermes("token", "create", "lan", "--purpose", "x", "--role", "admin").returncode == 2
    prefix = made.stdout[7:15]
    listed = hermes("token", "list", "--json").stdout
    (token,) = json.loads(listed)["tokens"]
    assert (token["prefix"], token["owner"], token["role"]) == (prefix, "lan", "viewer")
    assert made.stdout.strip() not in listed + hermes("token", "list").stderr
    assert hermes("token", "revoke", prefix).returncode == 0
    assert hermes("token", "revoke", prefix).returncode == 2
    assert json.loads(hermes("token", "list", "--json").stdout)["tokens"][0]["revoked_at"]


def test_up_serves_the_console_and_goes_on_without_it_when_its_port_is_taken(
    make_roles: Callable[..., Roles], partner: SimulatorHandle
) -> None:
    port = free_port()
    roles = make_roles(api_base_url=partner.url, console_port=port)
    for command in (("db", "upgrade"), ("db", "create-source")):
        assert roles.run(*command).returncode == 0
    first = roles.start("first", "app", "up")
    wait_for(roles, "first", "scanned")
    assert status_of(f"http://127.0.0.1:{port}/readyz") == 200
    second = roles.start("second", "app", "up")
    wait_for(roles, "second", "console_failed")
    wait_for(roles, "second", "scanned")
    for process in (first, second):
        process.terminate()
    assert [process.wait(timeout=60) for process in (first, second)] == [0, 0]
    assert "Traceback" not in roles.log("first") + roles.log("second")


def test_the_kept_demo_prints_a_link_on_which_one_is_logged_in(make_roles: Callable[..., Roles]) -> None:
    roles = make_roles(console_port=free_port())
    demo = roles.start("demo", "app", "demo", "--documents", "30", "--keep")
    link = wait_for(roles, "demo", r"http://127\.0\.0\.1:\d+/enter/[\w-]+")[0]
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(link, timeout=20) as page:
        text = page.read().decode()
    assert "Việc cần người xử lý" in text
    assert status_of(link) == 403
    demo.terminate()
    assert demo.wait(timeout=60) == 0

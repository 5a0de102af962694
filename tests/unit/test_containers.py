"""Dockerfile and docker-compose.yml agree with the code: services, queues, commands, settings, confinement."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from app.cli.program import app as hermes
from app.core.config import Settings, load_settings
from app.core.logging import configure_logging
from app.documents import ALL_KINDS
from app.main import SCHEDULER_QUEUE, configuration
from simulator.__main__ import app as simulator

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = YAML(typ="safe").load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
HERMES = COMPOSE["x-hermes"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == HERMES["image"]}
ROLES = {name: service for name, service in SERVICES.items() if "profiles" not in service}
WORKERS = {name: service for name, service in ROLES.items() if name.endswith("_worker")}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
README_COMMANDS = re.findall(r"^celery .+$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def queue_of(service: dict[str, Any]) -> str:
    """The queue that a worker consumes."""
    words = shlex.split(service["command"])
    return words[words.index("-Q") + 1]


def given(name: str) -> str:
    """What a setting is when neither .env nor the environment names it."""
    value = HERMES["environment"][name] or ""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", value)


def seconds(duration: str) -> int:
    """`2m` and `30s` as a number."""
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def test_the_services_without_a_profile_are_scheduler_and_console_and_one_worker_for_each_queue() -> None:
    workers = {f"{kind.name}_worker" for kind in ALL_KINDS}
    assert set(ROLES) == {"scheduler", "scheduler_worker", "console", *workers}


def test_every_queue_that_is_routed_to_has_exactly_one_service_and_is_named_after_it() -> None:
    routed = {route["queue"] for route in configuration(load_settings())["task_routes"].values()}
    consumed = {queue_of(service): name for name, service in WORKERS.items()}
    assert set(consumed) == routed == {SCHEDULER_QUEUE, *(kind.queue for kind in ALL_KINDS)}
    assert len(consumed) == len(WORKERS)
    assert all(queue.removesuffix("_queue") == name.removesuffix("_worker") for queue, name in consumed.items())


def test_the_roles_run_the_commands_of_the_readme() -> None:
    assert [service["command"] for service in ROLES.values()] == [*README_COMMANDS, "hermes console"]


def test_the_console_is_reached_from_this_machine_alone_and_serves_where_its_container_s_port_leads() -> None:
    console = SERVICES["console"]
    port = "${CONSOLE_PORT:-8080}"
    assert console["ports"] == [f"127.0.0.1:{port}:{port}"]
    of_its_own = {name: value for name, value in console["environment"].items() if value != HERMES["environment"][name]}
    assert of_its_own == {"CONSOLE_HOST": "0.0.0.0", "CONSOLE_ALLOW_PLAIN_HTTP": "yes"}
    load_settings(console_host="0.0.0.0", console_allow_plain_http="yes").require_safe_console()
    assert load_settings().console_port == 8080
    assert "console" in get_command(hermes).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(set(OURS) - set(ROLES)))
def test_every_other_command_exists_with_its_options(name: str) -> None:
    program, _, _ = OURS[name]["command"].partition(" ")
    if program == "python":
        known = {option for parameter in get_command(simulator).params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", OURS[name]["command"])) <= known
        return
    group = get_command(hermes).commands["db"].commands  # type: ignore[attr-defined]
    for subcommand, options in re.findall(r"hermes db ([a-z-]+)((?: --[a-z-]+ \w+)*)", OURS[name]["command"]):
        known = {option for parameter in group[subcommand].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", options)) <= known
    assert "hermes db" in OURS[name]["command"]


def test_every_setting_can_stand_in_env_and_nothing_else_is_passed_on() -> None:
    passed = set(HERMES["environment"])
    assert passed == {name.upper() for name in Settings.model_fields} - {"PROGRESS_FOLDER"}
    for name, value in HERMES["environment"].items():
        assert value is None or value.startswith(f"${{{name}"), name
    assert set(re.findall(r"\$\{(\w+)", TEXT)) <= passed


def test_without_env_the_settings_are_good_and_lead_to_services_of_this_file() -> None:
    settings = load_settings(**{name.lower(): given(name) for name in HERMES["environment"]})
    configure_logging(settings)
    assert settings.broker_url is not None
    addresses = [settings.api_base_url, f"//{settings.mssql_server}", settings.broker_url, given("MONGO_URI")]
    hosts = [re.search(r"//([\w.-]+)", address or "") for address in addresses]
    assert [host[1] for host in hosts if host] == ["simulator", "sqlserver", "redis", "mongo"]
    assert set(SERVICES) >= {host[1] for host in hosts if host}


def test_the_playground_s_servers_have_the_credentials_that_the_roles_use() -> None:
    environment = HERMES["environment"]
    assert SERVICES["sqlserver"]["environment"]["MSSQL_SA_PASSWORD"] == environment["MSSQL_PASSWORD"]
    assert SERVICES["sqlserver_database"]["environment"]["SQLCMDPASSWORD"] == environment["MSSQL_PASSWORD"]
    assert environment["MSSQL_DATABASE"] in SERVICES["sqlserver_database"]["command"][0]
    assert SERVICES["simulator"]["environment"]["SIMULATOR_USERNAME"] == environment["API_USERNAME"]
    assert SERVICES["simulator"]["environment"]["SIMULATOR_PASSWORD"] == environment["API_PASSWORD"]
    assert SERVICES["redis"]["environment"]["REDISCLI_AUTH"] == "${REDIS_PASSWORD:-}"


def test_who_follows_env_example_does_not_get_the_playground_s_trust() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert re.search(r"^MSSQL_TRUST_SERVER_CERTIFICATE=no$", example, re.MULTILINE)


def test_redis_drops_no_message() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--appendonly"] == "yes"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_kept_in(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert service["restart"] == "unless-stopped" or service["restart"].startswith("on-failure:")
    if name in OURS:
        assert service["read_only"]
        assert service["init"]
        assert service["cap_drop"] == ["ALL"]
        assert service["mem_limit"]


def test_what_is_in_flight_has_the_time_to_finish_when_a_worker_is_stopped() -> None:
    """P1, P5: a request that was cut off would be unknown."""
    settings = load_settings()
    for service in WORKERS.values():
        assert settings.request_timeout_seconds < seconds(service["stop_grace_period"]) <= settings.claim_seconds


@pytest.mark.parametrize("name", sorted(ROLES))
def test_every_role_is_checked_for_progress(name: str) -> None:
    assert ROLES[name]["healthcheck"]["test"] == ["CMD", "python", "-m", "app.healthcheck"]
    folder = re.search(r"PROGRESS_FOLDER=(\S+)", DOCKERFILE)
    assert folder is not None
    assert folder[1].startswith(f"{ROLES[name]['tmpfs'][0]}/")


def test_no_service_needs_a_newer_compose_than_the_hyphenated_one() -> None:
    assert "version" not in COMPOSE
    assert "required:" not in TEXT
    assert not any("depends_on" in service or "env_file" in service for service in SERVICES.values())


def test_the_volume_for_sqlite_is_where_its_default_address_leads() -> None:
    folder = re.findall(r"^WORKDIR (\S+)$", DOCKERFILE, re.MULTILINE)[-1]
    assert HERMES["volumes"] == [f"var:{folder}/var"]


def test_the_image_runs_as_nobody_in_particular_and_takes_in_only_what_it_needs() -> None:
    assert re.findall(r"^USER (\d+):", DOCKERFILE, re.MULTILINE) == ["10001"]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = set(re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, re.MULTILINE))
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == {name for line in copied for name in line.split()}


def test_the_image_has_the_python_that_the_project_asks_for() -> None:
    python = re.search(r"PYTHON_IMAGE=python:3\.(\d+)-slim", DOCKERFILE)
    wanted = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert python is not None
    assert wanted is not None
    assert int(python[1]) >= int(wanted[1])

"""deploy/kubernetes agrees with code and docker-compose.yml: roles, queues, commands, settings, confinement."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr
from ruamel.yaml import YAML
from typer.main import get_command

from app.cli.program import app as hermes
from app.core.config import Settings, load_settings
from app.documents import ALL_KINDS
from app.main import SCHEDULER_QUEUE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
CONSOLE = "console"


def read(path: Path) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(path.read_text(encoding="utf-8")))


BASE = FOLDER / "base"
FILES = {str(path.relative_to(BASE)): read(path) for path in sorted(BASE.rglob("*.yaml"))}
OBJECTS = [each for name in FILES["kustomization.yaml"][0]["resources"] for each in FILES[name]]
DEPLOYMENTS = {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == "Deployment"}
WORKERS = {name: each for name, each in DEPLOYMENTS.items() if name.endswith("-worker")}
(JOB,) = (each for each in OBJECTS if each["kind"] == "Job")
POD = FILES["patches/pod.yaml"][0]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
EVERY_WORKER = FILES["patches/worker.yaml"][0]["spec"]["template"]["spec"]
SCALED = {
    each["metadata"]["name"]: each["spec"]
    for each in read(FOLDER / "autoscaling/scaled-objects.yaml")
    if each["kind"] == "ScaledObject"
}
SETTINGS = dotenv_values(FOLDER / "example/settings.env")
SECRETS = dotenv_values(FOLDER / "example/secrets.env")
COMPOSE = read(ROOT / "docker-compose.yml")[0]
ROLES = {name: service for name, service in COMPOSE["services"].items() if "profiles" not in service}


def container_of(owner: dict[str, Any]) -> dict[str, Any]:
    """The one container of a Deployment or Job: that of the shared pod, by its name."""
    (container,) = owner["spec"]["template"]["spec"]["containers"]
    assert container["name"] == CONTAINER["name"]
    found: dict[str, Any] = container
    return found


def test_every_file_of_the_base_is_used() -> None:
    used = FILES["kustomization.yaml"][0]
    named = {*used["resources"], *(patch["path"] for patch in used["patches"]), "kustomization.yaml"}
    assert set(FILES) == named


def test_the_roles_are_those_of_compose_with_its_commands() -> None:
    ours = {name.replace("-", "_"): container_of(each)["args"] for name, each in DEPLOYMENTS.items()}
    theirs = {name: shlex.split(service["command"]) for name, service in ROLES.items()}
    assert ours.keys() - {CONSOLE} == theirs.keys() - {CONSOLE}
    assert {name: ours[name] for name in theirs} == theirs


def test_every_queue_has_its_worker() -> None:
    consumed = [container_of(each)["args"][-1] for each in WORKERS.values()]
    assert sorted(consumed) == sorted([SCHEDULER_QUEUE, *(kind.queue for kind in ALL_KINDS)])


def test_there_is_one_scheduler_and_never_two() -> None:
    spec = DEPLOYMENTS["scheduler"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert "scheduler" not in SCALED


def test_workers_of_a_kind_grow_with_their_own_queue() -> None:
    assert {name: spec["triggers"][0]["metadata"]["listName"] for name, spec in SCALED.items()} == {
        f"{kind.name.replace('_', '-')}-worker": kind.queue for kind in ALL_KINDS
    }
    for name, spec in SCALED.items():
        assert spec["scaleTargetRef"] == {"name": name}
        assert "replicas" not in DEPLOYMENTS[name]["spec"]  # every apply would set it back
        metadata = spec["triggers"][0]["metadata"]
        assert {metadata["hostFromEnv"], metadata["portFromEnv"]} <= SETTINGS.keys()


def test_the_migration_is_a_command() -> None:
    program, group, name = container_of(JOB)["args"]
    assert program == "hermes"
    assert name in get_command(hermes).commands[group].commands  # type: ignore[attr-defined]


def test_labels_select_the_pods_they_are_meant_for() -> None:
    for name, each in DEPLOYMENTS.items():
        labels = each["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"] == each["spec"]["template"]["metadata"]["labels"] == labels
        assert labels["app.kubernetes.io/instance"] == name
    budgets = [each for each in OBJECTS if each["kind"] == "PodDisruptionBudget"]
    assert {each["metadata"]["name"] for each in budgets} == set(WORKERS)
    for each in budgets:
        assert each["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/instance": each["metadata"]["name"]}


def test_pods_may_do_nothing_that_they_need_not() -> None:
    user = re.findall(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert POD["automountServiceAccountToken"] is False
    assert POD["enableServiceLinks"] is False
    assert POD["securityContext"]["runAsNonRoot"]
    assert [str(POD["securityContext"]["runAsUser"])] == user
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert CONTAINER["resources"]["limits"].keys() == CONTAINER["resources"]["requests"].keys() == {"cpu", "memory"}


def test_alive_is_who_makes_progress_noted_where_the_pod_may_write() -> None:
    (container,) = FILES["patches/progress.yaml"][0]["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == COMPOSE["x-hermes"]["healthcheck"]["test"][1:]
    folder = re.search(r"PROGRESS_FOLDER=(\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert folder is not None
    assert any(folder[1].startswith(f"{mount['mountPath']}/") for mount in CONTAINER["volumeMounts"])


def test_what_is_in_flight_has_the_time_to_finish() -> None:
    """P1, P5."""
    settings = load_settings()
    grace = EVERY_WORKER["terminationGracePeriodSeconds"]
    assert settings.request_timeout_seconds < grace <= settings.claim_seconds


def test_secrets_come_from_files_and_settings_from_the_environment() -> None:
    files = {each["name"].removesuffix("_FILE"): each["value"] for each in CONTAINER["env"]}
    assert {name: f"/run/secrets/hermes/{name}" for name in SECRETS} == files
    secret = {name for name, field in Settings.model_fields.items() if SecretStr.__name__ in str(field.annotation)}
    assert {name.lower() for name in SECRETS} <= secret
    assert not {name.lower() for name in SETTINGS} & secret


def test_the_example_s_settings_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SETTINGS, **SECRETS}.items():
        assert name.lower() in Settings.model_fields
        monkeypatch.setenv(name, value or "")
    settings = load_settings()
    assert settings.broker_url is not None
    settings.require("api_base_url", "mssql_server", "mongo_uri")

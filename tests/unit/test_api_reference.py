"""The JSON API's reference is what its description says; written anew by `python -m tests.unit.test_api_reference`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.domain.users import Role
from app.web.api import PREFIX, create_api
from app.web.api.application import operations
from app.web.api.description import ALWAYS, least_role

PAGE = Path(__file__).parents[2] / "docs/reference/api.md"
MARK = "<!-- What follows is generated from the code: python -m tests.unit.test_api_reference -->\n"
DESCRIBED = create_api(None).openapi()
SCHEMAS = DESCRIBED["components"]["schemas"]

NAMES = {
    "list_deliveries", "show_delivery", "rebuild_delivery", "resend_delivery", "park_delivery", "resolve_delivery",
    "status", "tallies", "list_refusals", "refusal_trend", "list_replays", "create_replay", "show_replay",
    "pause_replay", "resume_replay", "abort_replay", "reconcile", "list_reconciled", "list_circuits", "resume_circuit",
    "list_audit", "list_users", "disable_user", "enable_user",
    "export_deliveries_csv", "export_deliveries_xlsx", "export_reconciliation_xlsx",
}  # fmt: skip
"""What programs call the operations by: a name may be added, and never changes."""


def written() -> str:
    """The generated part of the page."""
    lines = ["## Operations", ""]
    for path, item in DESCRIBED["paths"].items():
        for method, operation in item.items():
            lines += _operation(method.upper(), path, operation)
    lines += ["## What comes back", ""]
    for name in _mentioned():
        lines += _shape(name)
    return "\n".join(lines).rstrip() + "\n"


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    said, _, role = operation["description"].rpartition("\n\nLeast role: ")
    yield f"### `{method} {PREFIX}{path}`"
    yield ""
    answer = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
    refused = sorted(each for each in operation["responses"] if each[0] in "45" and int(each) not in ALWAYS)
    yield f"`{operation['operationId']}`, from role {role.strip('.')}. {' '.join(said.split())}"
    yield ""
    rows = [(each["name"], each["schema"], each["required"]) for each in operation.get("parameters", ())]
    if "requestBody" in operation:
        body = _of(operation["requestBody"]["content"]["application/json"]["schema"])
        rows += [(f"body.{name}", *rest) for name, *rest in _fields(body)]
    if rows:
        yield "| parameter or field | what | needed | meaning |"
        yield "|---|---|---|---|"
        for name, schema, needed in rows:
            yield f"| `{name}` | {_type(schema)} | {'yes' if needed else ''} | {_meaning(schema)} |"
        yield ""
    ((media, content),) = answer["content"].items()
    shape = _type(content["schema"]) if media == "application/json" else f"a file, `{media}`"
    yield f"Answers {shape}." + (f" Refuses with {', '.join(refused)}." if refused else "")
    yield ""


def _fields(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """The fields of a body, those of inner objects by their paths."""
    for name, field in schema["properties"].items():
        if "properties" in _of(field):
            yield from _fields(_of(field), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field, name in schema.get("required", ())


def _shape(name: str) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield SCHEMAS[name]["description"].replace("\n", " ")
    yield ""
    yield "| field | what | meaning |"
    yield "|---|---|---|"
    for field, schema in SCHEMAS[name]["properties"].items():
        yield f"| `{field}` | {_type(schema)} | {_meaning(schema)} |"
    yield ""


def _mentioned() -> list[str]:
    """The objects that come back."""
    answers = str([operation["responses"] for item in DESCRIBED["paths"].values() for operation in item.values()])
    found: list[str] = []
    left = re.findall(r"schemas/(\w+)", answers)
    while left:
        name = left.pop(0)
        if name not in found and "properties" in SCHEMAS[name]:
            found.append(name)
            left += re.findall(r"schemas/(\w+)", str(SCHEMAS[name]))
    return sorted(found)


def _of(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _type(schema: dict[str, Any]) -> str:
    """What a value is, in a few words."""
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "$ref" in schema and "properties" in _of(schema):
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    schema = _of(schema)
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"{_type(schema['additionalProperties'])} by name"
    words = {"date": "day", "date-time": "moment"}
    plain = str(schema.get("type", "value"))
    return words.get(schema.get("format", ""), {"object": "values by name"}.get(plain, plain))


def _meaning(schema: dict[str, Any]) -> str:
    bounds = [f"{schema[key]}" for key in ("minimum", "maximum") if key in schema]
    inner = next((each["description"] for each in schema.get("anyOf", ()) if "description" in each), "")
    said = [schema.get("description", inner)]
    said += [f"{' to '.join(bounds)}."] if len(bounds) == 2 else []
    said += [f"Default: `{str(schema['default']).lower()}`."] if schema.get("default") not in (None, "", []) else []
    return " ".join(each for each in said if each)


def test_the_reference_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8").partition(MARK)[2].strip() == written().strip()


def test_the_names_of_operations_never_change() -> None:
    found = [operation["operationId"] for item in DESCRIBED["paths"].values() for operation in item.values()]
    assert sorted(found) == sorted(NAMES)


def test_every_operation_is_described_with_its_role_and_how_it_refuses() -> None:
    for route in operations():
        for method in route.methods or ():
            operation = DESCRIBED["paths"][route.path_format][method.lower()]
            assert operation["description"].endswith(f"Least role: `{least_role(route)}`.")
            assert operation["security"] == [{"token": []}]
            assert {str(status) for status in ALWAYS} <= set(operation["responses"])
            assert ("403" in operation["responses"]) >= (least_role(route) is not Role.VIEWER)
            refusals = [answer["content"] for status, answer in operation["responses"].items() if status[0] in "45"]
            assert all(list(each) == ["application/problem+json"] for each in refusals)


def test_everything_that_is_given_and_got_is_described() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \|.*\|  ?\|$", written(), re.MULTILINE)
    assert rows == []


def test_every_change_asks_for_a_reason_but_those_of_users() -> None:
    for path, item in DESCRIBED["paths"].items():
        if "post" in item and not path.startswith("/users/"):
            body = _of(item["post"]["requestBody"]["content"]["application/json"]["schema"])
            assert "reason" in body["required"], path


if __name__ == "__main__":
    above = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(f"{above}{MARK}\n{written()}", encoding="utf-8")

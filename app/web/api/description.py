"""What `openapi.json` says beyond what FastAPI finds by itself: how operations refuse."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.domain.users import Role
from app.web.api.caller import Needs
from app.web.api.problems import DETAILS, MEDIA_TYPE

PREFIX = "/api/v1"

ALWAYS = (401, 429, 500, 503)
WITH_BODY = (400, 413, 422)

FAULT = {
    "type": "object",
    "title": "Fault",
    "required": ["where", "detail"],
    "properties": {
        "where": {"type": "string", "description": "Where the value stands.", "examples": ["query.limit"]},
        "detail": {"type": "string", "description": "Why it cannot be used."},
    },
}
PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong, as RFC 9457 has it.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "const": "about:blank", "description": "The status says what it is."},
        "title": {"type": "string", "description": "The status in words.", "examples": ["Conflict"]},
        "status": {"type": "integer", "description": "The HTTP status.", "examples": [409]},
        "detail": {"type": "string", "description": "What is wrong, and what to do."},
        "errors": {"type": "array", "items": FAULT, "description": "The values that cannot be used."},
    },
}

INTRODUCTION = """\
Everything that the pages of the console show and do, for programs.

Make a token with `hermes token create` and show it as `Authorization: Bearer …`. Moments are UTC with their offset;
days are document dates; decimals of documents are strings, so that no digit is lost. Persons' names are masked."""


def refuses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The statuses with which an operation can refuse, beside those that all have."""
    return {status: {"description": DETAILS[status]} for status in statuses}


class Api(FastAPI):
    """An application whose description names every refusal, and no other form of one."""

    def __init__(self, operations: Sequence[APIRoute], **options: Any) -> None:
        super().__init__(**options)
        self.operations = operations

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        if self.openapi_schema is None:
            found = get_openapi(
                title=self.title,
                version=self.version,
                description=self.description,
                routes=self.routes,
                tags=self.openapi_tags,
                servers=self.servers,
            )
            schemas = found["components"]["schemas"]
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            schemas["Problem"] = PROBLEM
            for route in self.operations:
                for method in route.methods or ():
                    _complete(found["paths"][route.path_format][method.lower()], least_role(route))
            self.openapi_schema = found
        return self.openapi_schema


def least_role(route: APIRoute) -> Role:
    """Who may use a route at least. Raises RuntimeError when it does not say."""
    found = [each.call.role for each in route.dependant.dependencies if isinstance(each.call, Needs)]
    if len(found) != 1:
        raise RuntimeError(f"{route.path} does not say who may use it: caller: Caller = needs(Role.…)")
    return found[0]


def _complete(operation: dict[str, Any], role: Role) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    statuses = {int(status) for status in responses if status.startswith(("4", "5"))} | set(ALWAYS)
    statuses |= {403} if role is not Role.VIEWER else set()
    statuses |= set(WITH_BODY) if "requestBody" in operation else set()
    in_path = any(each["in"] == "path" for each in operation.get("parameters", ()))
    statuses |= {404} if in_path else set()
    statuses |= {422} if operation.get("parameters") else set()
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for status in sorted(statuses):
        responses[str(status)] = {"description": DETAILS[status], "content": {MEDIA_TYPE: schema}}
    for parameter in operation.get("parameters", ()):
        _without_null(parameter["schema"])
    operation["description"] = f"{operation.get('description', '')}\n\nLeast role: `{role}`.".strip()


def _without_null(schema: dict[str, Any]) -> None:
    """A parameter that is not given is left out: an address has no null."""
    given = [each for each in schema.pop("anyOf", ()) if each != {"type": "null"}]
    for each in given:
        schema.update(each)

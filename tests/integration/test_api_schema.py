"""The JSON API against its own description: whatever schemathesis makes up, no answer contradicts it, none is 500."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.domain.states import State
from app.domain.users import Role
from app.web.api import PREFIX, create_api
from app.wiring import Gateway
from tests.databases import only_sqlite
from tests.integration.console import serving
from tests.integration.test_console_deliveries import bring
from tests.integration.test_ledger import Bench

EXAMPLES = 12
"""Per operation and mode; enough to find what is careless, quick enough for every run."""

BEYOND_A_SCHEMA = {
    "query.date_from", "query.cursor", "query.reason", "path.day", "body.national_code", "body.selection.kind",
    "body.accepted_again",
}  # fmt: skip
"""Values that only mean nothing beside others. Where no value is to blame, the request as a whole means nothing."""


def described() -> dict[str, Any]:
    """The description without its tokens: each request shows a good one. Made-up ones would be slowed down, and the
    good one with them; who may what is in test_api.py."""
    found = deepcopy(create_api(None).openapi())
    del found["components"]["securitySchemes"]
    for each in (operation for path in found["paths"].values() for operation in path.values()):
        del each["security"]
    return found


SCHEMA = schemathesis.openapi.from_dict(described())


@pytest.fixture
def bench(open_gateway: Callable[..., Gateway], clock: Any, put_headers: Callable[..., None]) -> Bench:
    """A ledger with a document, and an admin."""
    made = Bench(lambda: open_gateway(hermes_lang="en"), clock, put_headers)
    for role in Role:
        made.gateway.access.add(role.value, role, None, who="test")
    bring(made, State.REJECTED)
    return made


@pytest.fixture
def port(bench: Bench) -> Iterator[int]:
    """A running console."""
    with serving(bench.gateway) as found:
        yield found


@only_sqlite  # what schemathesis finds is the API's, whatever the database
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
def test_the_api_keeps_to_its_description(bench: Bench, port: int, mode: GenerationMode) -> None:
    token = bench.gateway.tokens.create("admin", Role.ADMIN, "schemathesis", days=1, who="test").text
    frame = settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    for found in SCHEMA.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not {"parameters", "requestBody"} & set(operation.definition.raw):
            continue  # it takes nothing that could be wrong

        @frame
        @given(case=operation.as_strategy(generation_mode=mode))
        def try_out(case: schemathesis.Case) -> None:
            answer = case.call_and_validate(
                base_url=f"http://127.0.0.1:{port}{PREFIX}",
                headers={"Authorization": f"Bearer {token}"},
                excluded_checks=[positive_data_acceptance],
            )
            assert answer.status_code not in {401, 429}
            if mode is GenerationMode.POSITIVE and answer.status_code == 422:
                assert {each["where"] for each in answer.json().get("errors", ())} <= BEYOND_A_SCHEMA, answer.text

        try_out()

"""The distributed mode on a Redis that lets only one user in, with no more rights than the documents list."""

from collections.abc import Callable
from pathlib import Path

from app.domain.states import State
from app.wiring import Gateway
from simulator.process import SimulatorHandle
from tests.books import assert_books_agree, fill_source, wait_until_closed
from tests.e2e.conftest import Roles
from tests.redis_server import RedisServer


def test_documents_travel_with_the_documented_rights(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    redis_server: RedisServer,
    partner: SimulatorHandle,
) -> None:
    page = (Path(__file__).parents[2] / "docs/howto/use-redis.md").read_text(encoding="utf-8")
    rights = page.split("ACL SETUSER hermes on >password ")[1].split("\n")[0].split()
    redis_server.client().execute_command("ACL", "SETUSER", "hermes", "on", ">s3cret:@/", *rights)
    redis_server.client().execute_command("ACL", "SETUSER", "default", "off")
    gateway = make_gateway()
    fill_source(gateway, 20, defect_every=0)
    roles = make_roles(
        api_base_url=partner.url,
        redis_host="127.0.0.1",
        redis_port=redis_server.port,
        redis_username="hermes",
        redis_password="s3cret:@/",
        rate_limit="1000/second",
    )
    roles.all()
    assert wait_until_closed(gateway, 60, 40) == {State.ACCEPTED: 60}
    assert_books_agree(gateway, partner)
    for name in ("beat", "scheduler_queue", "hoa_don_queue"):
        assert "NOPERM" not in roles.log(name)
        assert "permission" not in roles.log(name)

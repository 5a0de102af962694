"""What machines ask: is the process well, is it ready, and figures for Prometheus."""

import hmac
from ipaddress import ip_address

import structlog
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from app.core.config import reveal
from app.domain.errors import InfrastructureError
from app.web.area import Area
from app.web.console import Console
from app.web.metrics import exposition
from app.web.page import machines

log = structlog.get_logger(__name__)

router = APIRouter()
AREA = Area(router)

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@router.get("/healthz")
def alive(console: Console = machines()) -> Response:
    """200 while the process gets on. Restart it on 503. That it answers proves that loop and threads turn."""
    if console.pulse is not None and console.pulse.stands_still:
        return PlainTextResponse("stuck: no task was finished for too long\n", 503)
    return PlainTextResponse("ok\n")


@router.get("/readyz")
def ready(console: Console = machines()) -> Response:
    """200 while pages can be served: the database answers and the ledger has this program's version."""
    try:
        console.gateway.require_ready()
    except InfrastructureError as error:
        log.error("console_cannot_read", error=str(error))
        return PlainTextResponse("not ready: see the log, or run hermes check\n", 503)
    return PlainTextResponse("ready\n")


@router.get("/metrics")
def metrics(request: Request, console: Console = machines()) -> Response:
    """Figures in Prometheus' text format."""
    _require_scraper(request, reveal(console.gateway.settings.console_metrics_token))
    return Response(exposition(console.status.get(), console.attempts.get(), console.gateway.clock.now()),
                    media_type=CONTENT_TYPE_PLAIN_0_0_4)  # fmt: skip


def _require_scraper(request: Request, token: str | None) -> None:
    """With a token set, who shows it; without, who asks on this machine itself and through no proxy."""
    if token is not None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(f"Bearer {token}".encode(), given.encode("utf-8", "surrogatepass")):
            raise HTTPException(403)
        return
    through_proxy = any(name in request.headers for name in FORWARDED)
    if request.client is None or not ip_address(request.client.host).is_loopback or through_proxy:
        raise HTTPException(403)

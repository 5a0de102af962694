"""What `hermes check` asks the partner: does it answer here, take our login, and have the time we have?"""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from app.clients.classify import Reply
from app.clients.partner_api_client import PartnerAPIClient, Unreached
from app.core.clock import Clock
from app.core.tls import full_text, tls_fault
from app.domain.diagnosis import Finding, failed, met, warning
from app.domain.errors import ErrorCode

_UNREACHED = {
    "partner_name": r"name or service|getaddrinfo|nodename|dns|no address",
    "partner_refused": r"refused|unreachable|no route",
    "partner_timeout": r"timed? ?out",
}
_HALF_A_SECOND = timedelta(seconds=0.5)
"""`Date` names whole seconds."""
_STATUS = {
    401: "partner_login",
    403: "partner_login",
    404: "partner_address",
    502: "partner_unavailable",
    503: "partner_unavailable",
    504: "partner_unavailable",
}


class PartnerExamination:
    """Looks at the partner. `ahead` is by how much its clock is ahead of ours, once it has named its time."""

    def __init__(self, client: PartnerAPIClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self.ahead: timedelta | None = None

    def partner(self) -> list[Finding]:
        """Whether it answers as the partner would."""
        address = self._client.settings.api_base_url
        reply = asyncio.run(self._ask())
        if isinstance(reply, Unreached):
            return [self._unreached(reply, address)]
        if (date := _date(reply)) is not None:
            self.ahead = date + _HALF_A_SECOND - self._clock.now()
        if 300 <= reply.status < 400:
            return [failed("partner_address", address=address, status=reply.status)]
        cause = _STATUS.get(reply.status)
        if cause is not None:
            return [failed(cause, address=address, status=reply.status)]
        return [met("partner", address=address, status=reply.status)]

    async def _ask(self) -> Reply | Unreached:
        try:
            return await self._client.probe()
        finally:
            await self._client.close()

    def _unreached(self, reply: Unreached, address: str | None) -> Finding:
        if reply.problem.code is ErrorCode.CONNECTION_LOST:  # it did take the connection, and nothing says no
            return warning("partner_dumb", address=address)
        text = full_text(reply.error)
        cause = tls_fault(reply.error) or next(
            (it for it, why in _UNREACHED.items() if re.search(why, text, re.I)), None
        )
        return failed(
            cause or "partner_other",
            address=address,
            server=address,
            setting="API_BASE_URL",
            detail=reply.problem.message,
        )


def _date(reply: Reply) -> datetime | None:
    try:
        found = parsedate_to_datetime(reply.headers.get("Date", ""))
    except (TypeError, ValueError):
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)

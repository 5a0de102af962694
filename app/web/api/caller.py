"""Who calls: the bearer of a token. Cookies count for nothing here, so no other site can make a browser act."""

from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.domain.tokens import Bearer
from app.domain.users import Role
from app.services.tokens import TooManyTokens
from app.web.api.problems import Refusal
from app.web.console import Console
from app.wiring import Gateway

WAIT_SECONDS = 300

_bearer = HTTPBearer(
    scheme_name="token",
    bearerFormat="hermes_<8 hexadecimal digits>_<43 characters>",
    description="A token of `hermes token create`.",
    auto_error=False,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """One request as an operation sees it."""

    console: Console
    bearer: Bearer

    @property
    def gateway(self) -> Gateway:
        """The services."""
        return self.console.gateway

    @property
    def who(self) -> str:
        """The name for the audit."""
        return self.bearer.who

    def require(self, role: Role) -> None:
        """Refuse a caller of a lesser role."""
        if not self.bearer.role.includes(role):
            raise Refusal(403)


@dataclass(frozen=True, slots=True)
class Needs:
    """Who may use an operation: bearers of at least `role`."""

    role: Role

    def __call__(
        self, request: Request, shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Caller:
        """The caller, when it is allowed. Raises Refusal."""
        console = cast(Console, request.app.state.console)
        if shown is None:
            raise Refusal(401, WWW_Authenticate='Bearer realm="hermes"')
        address = request.client.host if request.client else "?"
        try:
            bearer = console.gateway.tokens.admit(shown.credentials, address=address)
        except TooManyTokens:
            raise Refusal(429, Retry_After=str(WAIT_SECONDS)) from None
        if bearer is None:
            raise Refusal(401, WWW_Authenticate='Bearer realm="hermes", error="invalid_token"')
        caller = Caller(console, bearer)
        caller.require(self.role)
        return caller


def needs(role: Role) -> Any:
    """This operation is for bearers of at least this role."""
    return Depends(Needs(role))

"""What can go wrong, as values (`Problem`) and as exceptions (`HermesError`).

What a partner or a document can do to us is a Problem inside an Outcome. Exceptions are for our own
configuration and infrastructure:

    HermesError
    ├── ConfigError               a setting is missing or senseless; nothing was started
    ├── InputError                a person asked for something that cannot be done
    └── InfrastructureError       something we need is not there or not as it must be
        ├── DatabaseUnavailable   source database or ledger does not answer
        ├── RowRefused            the database takes one row's values for wrong; others are fine
        ├── SchemaError           a table, column or ledger version is missing
        ├── BrokerUnavailable     Redis does not take messages
        └── LogStoreUnavailable   MongoDB does not take log rows
"""

from dataclasses import dataclass
from enum import StrEnum


class HermesError(Exception):
    """Base of everything Hermes raises on purpose; the message is meant for an operator."""


class ConfigError(HermesError):
    """A setting is missing or makes no sense. The message names it and never shows its content."""


class InputError(HermesError):
    """A request that cannot be carried out as it was made."""


class InfrastructureError(HermesError):
    """Something outside this process is missing, broken or out of reach."""


class DatabaseUnavailable(InfrastructureError):
    """The SQL database does not answer or broke off."""


class RowRefused(InfrastructureError):
    """The database refuses what is to be written to some row: a constraint or trigger of the customer's."""


class SchemaError(InfrastructureError):
    """The database answers, but a table, a column or the ledger's version is not what Hermes needs."""


class BrokerUnavailable(InfrastructureError):
    """The message broker does not take messages."""


class LogStoreUnavailable(InfrastructureError):
    """The detailed log's database does not take rows."""


class ErrorCode(StrEnum):
    """Stable codes of what kept a document from being accepted; operators filter and count by them."""

    INVALID_DOCUMENT = "invalid_document"  # our own check refused it; never sent
    DOCUMENT_GONE = "document_gone"  # the source row was deleted before it was sent
    REFUSED = "refused"  # the partner says the document is wrong
    PARTNER_ERROR = "partner_error"  # the partner failed on it and says so (500)
    PARTNER_UNAVAILABLE = "partner_unavailable"  # down or overloaded (503, 408, 425)
    RATE_LIMITED = "rate_limited"  # 429
    CREDENTIALS_REFUSED = "credentials_refused"  # 401, 403
    WRONG_ADDRESS = "wrong_address"  # redirect, or 404/405 from something that is not the partner's API
    CONNECT_FAILED = "connect_failed"  # DNS, TCP or TLS; the request never left
    TIMEOUT = "timeout"  # the request left, no answer in time
    CONNECTION_LOST = "connection_lost"  # the request left, the connection broke
    GATEWAY_ERROR = "gateway_error"  # 502, 504: something between us and the partner gave up
    UNREADABLE_REPLY = "unreadable_reply"  # 2xx without a usable answer
    WORKER_LOST = "worker_lost"  # our process died while the request was out
    PARKED_BY_OPERATOR = "parked_by_operator"


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason, for a person: a stable code and a sentence in the operator's language."""

    code: ErrorCode
    message: str

"""What `hermes check` asks MongoDB: is it there, may Hermes write, and is the log kept as long as it should be?"""

import re
from datetime import datetime
from typing import Any
from uuid import uuid4

from pymongo.errors import OperationFailure

from app.core.config import Settings
from app.core.tls import full_text, tls_fault
from app.db.mongodb import COLLECTION, TTL_INDEX, MongoLogStore
from app.domain.diagnosis import Finding, failed, met, warning
from app.domain.errors import LogStoreUnavailable

_NOT_AUTHENTICATED, _NOT_ALLOWED = 18, 13
_FAULTS = {
    "mongo_password": r"authentication failed|auth failed|bad auth",
    "mongo_login_missing": r"requires authentication|authentication required|command .* requires auth",
    "mongo_rights": r"not authorized|unauthorized|not allowed to do action",
    "mongo_uri": r"InvalidURI|ConfigurationError|cannot set j",
    "mongo_unreachable": r"refused|timed out|name or service|getaddrinfo|unreachable|no route|no servers|dns",
    "mongo_primary": r"no primary|not primary|no replica set members|replicaset",
}


class MongoExamination:
    """Looks at the detailed log's database. Raises nothing that is MongoDB's fault."""

    def __init__(self, settings: Settings, store: MongoLogStore) -> None:
        self._settings = settings
        self._store = store

    def log_store(self) -> list[Finding]:
        """Whether it answers, takes the login, has the indexes and takes rows; then how long they stay."""
        try:
            self._store.ping()
            self._store.try_insert(str(uuid4()))
            found = self._store.retention_seconds()
        except LogStoreUnavailable as error:
            return [self._unavailable(error)]
        wanted = self._settings.log_retention_days
        if found is None or found != wanted * 86_400:
            kept = "∞" if found is None else f"{found / 86_400:g}"
            return [warning("mongo_retention", days=wanted, kept=kept, index=TTL_INDEX)]
        return [met("mongo", collection=f"{self._settings.mongo_db_name}.{COLLECTION}", days=wanted)]

    def now(self) -> datetime | None:
        """What time the server has; None when it does not say."""
        return self._store.server_time()

    def _unavailable(self, error: LogStoreUnavailable) -> Finding:
        return failed(
            _cause(error), server="MongoDB", setting="MONGO_URI", detail=str(error)[:200],
            database=self._settings.mongo_db_name,
        )  # fmt: skip


def _cause(error: LogStoreUnavailable) -> str:
    origin: Any = error.__cause__
    if isinstance(origin, OperationFailure) and origin.code in {_NOT_AUTHENTICATED, _NOT_ALLOWED}:
        wants_login = re.search(_FAULTS["mongo_login_missing"], str(origin), re.I)
        return "mongo_password" if origin.code == _NOT_AUTHENTICATED else (
            "mongo_login_missing" if wants_login else "mongo_rights"
        )  # fmt: skip
    text = full_text(error)
    return tls_fault(error) or next((each for each, it in _FAULTS.items() if re.search(it, text, re.I)), "mongo_other")

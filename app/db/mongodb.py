"""The detailed log in MongoDB: `sync_logs`, one document per attempt, `_id` = attempt id."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from pymongo import ASCENDING, MongoClient, WriteConcern
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from app.core.config import Settings, reveal
from app.domain.deliveries import Attempt
from app.domain.errors import LogStoreUnavailable
from app.domain.measures import LATENCY_BOUNDS_MS, AttemptMeasure

log = structlog.get_logger(__name__)

COLLECTION = "sync_logs"
TTL_INDEX = "retention"
_DUPLICATE_KEY = 11000
_INDEX_CONFLICTS = {85, 86}  # IndexOptionsConflict, IndexKeySpecsConflict: servers differ
_TIMEOUT_MS = 5000
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class MongoLogStore:
    """Where attempts are kept. Opened on first use, so always after a fork. Raises LogStoreUnavailable."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: MongoClient[dict[str, Any]] | None = None

    def insert(self, attempts: Sequence[Attempt]) -> None:
        """Keep attempts; those that are here already stay as they are, so a repeated ship doubles nothing."""
        with _translated():
            try:
                self._collection().insert_many([_as_document(each) for each in attempts], ordered=False)
            except BulkWriteError as error:
                faults = error.details.get("writeErrors", [])
                if error.details.get("writeConcernErrors") or any(f.get("code") != _DUPLICATE_KEY for f in faults):
                    raise

    def of_document(self, kind: str, code: str) -> list[Attempt]:
        """The attempts of one document, oldest first."""
        with _translated():
            found = (
                self._collection()
                .find({"kind": kind, "code": code})
                .sort([("started_at", ASCENDING), ("attempt", ASCENDING)])
            )
            return [_as_attempt(document) for document in found]

    def measure(self, since: datetime) -> list[AttemptMeasure]:
        """As `SqlAttemptLog.measure`, of what is here."""
        with _translated():
            return [
                AttemptMeasure(
                    found["_id"]["kind"],
                    found["_id"]["outcome"],
                    found["attempts"],
                    found["answered"],
                    found["duration_ms"],
                    tuple(found[f"within_{bound}"] for bound in LATENCY_BOUNDS_MS),
                )
                for found in self._collection().aggregate(_measuring(since))
            ]

    def ping(self) -> None:
        """Ask for a sign of life and write access to the collection's indexes."""
        with _translated():
            self._collection()

    def try_insert(self, id: str) -> None:
        """See whether a row can be written: one that is long past its time, and taken away again where that is
        allowed; else it expires within a minute."""
        with _translated():
            collection = self._collection()
            collection.insert_one({"_id": id, "kind": "hermes-check", "code": id, "started_at": _LONG_AGO})
            with suppress(OperationFailure):
                collection.delete_one({"_id": id})

    def retention_seconds(self) -> int | None:
        """How long rows stay; None: for ever."""
        with _translated():
            indexes = self._collection().index_information().values()
        ages = [each["expireAfterSeconds"] for each in indexes if "expireAfterSeconds" in each]
        return int(min(ages)) if ages else None

    def server_time(self) -> datetime | None:
        """What time the server has; None when it does not say."""
        with _translated():
            database = self._collection().database
            found = database.command("hello", codec_options=database.codec_options).get("localTime")
        return found if isinstance(found, datetime) else None

    def close(self) -> None:
        """Drop the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _collection(self) -> Any:
        if self._client is None:
            client: MongoClient[dict[str, Any]] = MongoClient(
                reveal(self._settings.mongo_uri),
                appname="hermes",
                tz_aware=True,
                tzinfo=UTC,
                serverSelectionTimeoutMS=_TIMEOUT_MS,
                connectTimeoutMS=_TIMEOUT_MS,
                socketTimeoutMS=4 * _TIMEOUT_MS,
            )
            try:
                self._ensure_indexes(client)
            except BaseException:
                client.close()
                raise
            self._client = client
        # Journaled: what was only in the server's memory would be gone with it, and from SQL it is deleted (P8).
        concern = WriteConcern(**{**self._client.write_concern.document, "j": True})
        return self._client[self._settings.mongo_db_name].get_collection(COLLECTION, write_concern=concern)

    def _ensure_indexes(self, client: MongoClient[dict[str, Any]]) -> None:
        database = client[self._settings.mongo_db_name]
        collection = database[COLLECTION]
        collection.create_index([("kind", ASCENDING), ("code", ASCENDING)], name="document")
        collection.create_index([("error_code", ASCENDING), ("started_at", ASCENDING)], name="error")
        seconds = self._settings.log_retention_days * 86_400
        try:
            collection.create_index([("started_at", ASCENDING)], name=TTL_INDEX, expireAfterSeconds=seconds)
        except OperationFailure as error:
            if error.code not in _INDEX_CONFLICTS:
                raise
            self._change_retention(collection, seconds)

    def _change_retention(self, collection: Any, seconds: int) -> None:
        """LOG_RETENTION_DAYS was changed since the index was made, or somebody else made it under another name."""
        try:
            indexes = collection.index_information().items()
            name = next((name for name, index in indexes if index["key"] == [("started_at", ASCENDING)]), TTL_INDEX)
            change = {"name": name, "expireAfterSeconds": seconds}
            collection.database.command("collMod", COLLECTION, index=change)
        except OperationFailure as error:
            # Rows can be kept without: that they stay too long or too short is for `hermes check` to tell.
            log.warning("log_retention_not_changed", days=self._settings.log_retention_days, error=str(error)[:300])


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise LogStoreUnavailable(f"MongoDB does not answer as it should: {str(error)[:300]}") from error


def _measuring(since: datetime) -> list[dict[str, Any]]:
    answered = {"$gt": ["$http_status", 0]}
    within = {
        f"within_{bound}": {"$sum": {"$cond": [{"$and": [answered, {"$lte": ["$duration_ms", bound]}]}, 1, 0]}}
        for bound in LATENCY_BOUNDS_MS
    }
    groups = {
        "_id": {"kind": "$kind", "outcome": "$outcome"},
        "attempts": {"$sum": 1},
        "answered": {"$sum": {"$cond": [answered, 1, 0]}},
        "duration_ms": {"$sum": {"$cond": [answered, "$duration_ms", 0]}},
        **within,
    }
    return [{"$match": {"started_at": {"$gte": since}}}, {"$group": groups}]


def _as_document(attempt: Attempt) -> dict[str, Any]:
    document = {name: getattr(attempt, name) for name in attempt.__dataclass_fields__}
    return {"_id": document.pop("id"), **document}


def _as_attempt(document: dict[str, Any]) -> Attempt:
    return Attempt(id=document.pop("_id"), **document)

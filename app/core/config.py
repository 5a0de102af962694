"""Settings: the only reader of the environment.

Values come from the environment, from `NAME_FILE` (a file that holds the value, as container secrets do) or from
`.env` in the working directory, in this order. A missing or senseless value is refused with the setting's name,
what it must look like and where it came from; never with its content (P9).
"""

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from functools import cache, cached_property
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from dotenv.parser import Binding, parse_stream
from limits import parse
from pydantic import AfterValidator, Field, JsonValue, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.domain.decide import RetryPolicy, UnknownPolicy
from app.domain.errors import ConfigError
from app.domain.retry import RetrySchedule

ENV_FILE = Path(".env")
DEFAULT_SQLITE = "sqlite:///var/hermes.db"
LEAST_BATCH = 100


class LogPayloads(StrEnum):
    """How much of request and reply bodies the detailed log keeps."""

    FULL = "full"
    MASKED = "masked"
    NONE = "none"


class Language(StrEnum):
    """The language operators are spoken to in."""

    VI = "vi"
    EN = "en"


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


def setting(default: Any, meaning: str, *, expects: str, example: str = "", **rules: Any) -> Any:
    """A setting: its default, what it means, what a value must look like, and one that is right."""
    extra: dict[str, JsonValue] = {"expects": expects, "example": example}
    return Field(default=default, description=meaning, json_schema_extra=extra, **rules)


_HOST = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(\.(?!-)[\w-]{1,63}(?<!-))*\.?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")


def _host(value: str) -> str:
    name = value.removeprefix("[").removesuffix("]")
    if not _HOST.fullmatch(name):
        raise ValueError("not a host name")
    return name


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or re.search(r"\s", value):
        raise ValueError("not an http address")
    _host(parts.hostname or "")
    if parts.username or parts.password:
        raise ValueError("credentials belong into API_USERNAME and API_PASSWORD")
    if parts.query or parts.fragment:
        raise ValueError("no query")
    _ = parts.port  # raises ValueError when it is not a port
    return value.rstrip("/")


def _site(value: str) -> str:
    url = _http_url(value)
    if urlsplit(url).path:
        raise ValueError("no path")
    return url


def _url_scheme(*schemes: str) -> AfterValidator:
    def check(value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError("wrong scheme")
        return value

    return AfterValidator(check)


def _database_url(value: SecretStr) -> SecretStr:
    try:
        url = make_url(value.get_secret_value())
        url.get_dialect()
    except (ArgumentError, ImportError) as error:  # NoSuchModuleError is an ArgumentError
        raise ValueError("not a database address") from error
    if url.get_backend_name() not in {"sqlite", "mssql"}:
        raise ValueError("neither SQLite nor SQL Server")
    return value


_SECONDS = "a whole number of seconds"
_YES_NO = "yes or no"
_TEXT = "text"

Seconds = Annotated[int, Field(ge=1, le=86_400)]


class Settings(BaseSettings):
    """Every setting of Hermes. `.env.example` documents them; a test compares the two."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    # Partner
    api_base_url: Annotated[str, AfterValidator(_http_url)] | None = setting(
        None,
        "Address of the partner's API, without the document paths",
        expects="an address that begins with http:// or https://, without user name, password or query",
        example="https://partner.example.vn/api",
    )
    api_username: str | None = setting(None, "User name at the partner", expects=_TEXT, example="nhathuoc01")
    api_password: SecretStr | None = setting(None, "Password at the partner", expects=_TEXT, example="********")
    partner_profile: str = setting(
        "basic", "How the partner's API looks on the wire", expects="the name of a profile", example="basic"
    )
    request_timeout_seconds: Seconds = setting(
        30, "Longest time for one request, all in all", expects=_SECONDS, example="30"
    )
    connect_timeout_seconds: Seconds = setting(
        10, "Longest time to reach the partner (DNS, TCP, TLS)", expects=_SECONDS, example="10"
    )
    read_timeout_seconds: Seconds | None = setting(
        None, "Longest silence of the partner within a request", expects=_SECONDS, example="30"
    )
    max_response_bytes: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = setting(
        1024 * 1024,
        "Longest reply that is read",
        expects="a whole number of bytes from 1024 to 16777216",
        example="1048576",
    )

    # Source database and ledger
    source_database_url: Annotated[SecretStr, AfterValidator(_database_url)] | None = setting(
        None,
        "SQLAlchemy URL of the source database; takes precedence over MSSQL_*",
        expects="a SQLAlchemy URL of SQLite or SQL Server",
        example="sqlite:///var/hermes.db",
    )
    mssql_server: str | None = setting(
        None,
        "SQL Server: host, host,port, host:port or host\\instance",
        expects="a host name, if need be with ,port or :port or \\instance",
        example="192.0.2.10,1433",
    )
    mssql_database: str | None = setting(None, "Database with the source tables", expects=_TEXT, example="DQG")
    mssql_user: str | None = setting(None, "SQL Server login", expects=_TEXT, example="hermes")
    mssql_password: SecretStr | None = setting(None, "SQL Server password", expects=_TEXT, example="********")
    mssql_driver: str | None = setting(
        None,
        "An installed ODBC driver to use instead of the bundled one",
        expects="the name of an ODBC driver, with or without braces",
        example="{ODBC Driver 17 for SQL Server}",
    )
    mssql_encrypt: bool = setting(True, "Encrypt the connection to SQL Server", expects=_YES_NO, example="yes")
    mssql_trust_server_certificate: bool = setting(
        False, "Accept a self-signed certificate of SQL Server", expects=_YES_NO, example="no"
    )
    db_connect_timeout_seconds: Seconds = setting(
        10, "Longest time to reach SQL Server", expects=_SECONDS, example="10"
    )
    db_query_timeout_seconds: Seconds = setting(
        60, "Longest time for one SQL statement", expects=_SECONDS, example="60"
    )

    # Broker
    redis_host: Annotated[str, AfterValidator(_host)] | None = setting(
        None, "Redis host", expects="a host name", example="redis"
    )
    redis_port: Annotated[int, Field(ge=1, le=65535)] = setting(
        6379, "Redis port", expects="a port number from 1 to 65535", example="6379"
    )
    redis_username: str | None = setting(None, "Redis ACL user", expects=_TEXT, example="hermes")
    redis_password: SecretStr | None = setting(None, "Redis password", expects=_TEXT, example="********")
    redis_db: Annotated[int, Field(ge=0, le=1023)] = setting(
        0, "Redis database number", expects="a whole number, 0 or more", example="0"
    )
    redis_tls: bool = setting(False, "Use TLS to Redis", expects=_YES_NO, example="no")
    redis_tls_ca: Path | None = setting(
        None,
        "Certificates of the authority that Redis' certificate is checked against; unset: those of the system",
        expects="the path of a PEM file",
        example="/etc/hermes/redis-ca.pem",
    )
    redis_tls_cert: Path | None = setting(
        None,
        "Client certificate for Redis",
        expects="the path of a PEM file",
        example="/etc/hermes/redis-client.pem",
    )
    redis_tls_key: Path | None = setting(
        None,
        "Key of the client certificate; unset: it is in the same file",
        expects="the path of a PEM file",
        example="/etc/hermes/redis-client.key",
    )
    redis_sentinels: str | None = setting(
        None,
        "Redis Sentinels instead of REDIS_HOST: they say where Redis is, also after a failover",
        expects="host:port, several separated by commas",
        example="sentinel1:26379,sentinel2:26379,sentinel3:26379",
    )
    redis_sentinel_master: str = setting(
        "mymaster", "The name by which the Sentinels know Redis", expects=_TEXT, example="mymaster"
    )
    redis_sentinel_username: str | None = setting(
        None, "ACL user of the Sentinels themselves", expects=_TEXT, example="hermes"
    )
    redis_sentinel_password: SecretStr | None = setting(
        None, "Password of the Sentinels themselves", expects=_TEXT, example="********"
    )
    redis_url: Annotated[SecretStr, _url_scheme("redis", "rediss")] | None = setting(
        None,
        "One address instead of REDIS_HOST and the others (not for Sentinels)",
        expects="an address that begins with redis:// or rediss://",
        example="redis://:password@redis:6379/0",
    )
    broker_timeout_seconds: Seconds = setting(10, "Longest time for one Redis command", expects=_SECONDS, example="10")

    # Detailed log
    mongo_uri: Annotated[SecretStr, _url_scheme("mongodb", "mongodb+srv")] | None = setting(
        None,
        "MongoDB address; without it the detailed log stays in SQL",
        expects="an address that begins with mongodb:// or mongodb+srv://",
        example="mongodb://user:password@mongo:27017",
    )
    mongo_db_name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^/\\. \"$*<>:|?]+$")] = setting(
        "sync_data_logs",
        "MongoDB database of the detailed log",
        expects="a database name",
        example="sync_data_logs",
    )
    log_payloads: LogPayloads = setting(
        LogPayloads.MASKED,
        "Request and reply bodies in the detailed log: full, masked (persons' names) or none",
        expects="full, masked or none",
        example="masked",
    )
    log_retention_days: Annotated[int, Field(ge=1, le=36_500)] = setting(
        90, "How long the detailed log is kept", expects="a whole number of days", example="90"
    )

    # Scanning, claiming, sending
    scan_interval_seconds: Seconds = setting(60, "Time between two scans of a kind", expects=_SECONDS, example="60")
    reoffer_seconds: Seconds | None = setting(
        None,
        "A document put on a queue and not taken up is offered again after; "
        "unset: five scan intervals, at least 30 seconds",
        expects=_SECONDS,
        example="300",
    )
    max_queued: Annotated[int, Field(ge=1, le=1_000_000)] = setting(
        10_000,
        "A scan stops offering when so many documents of a kind are queued",
        expects="a whole number",
        example="10000",
    )
    claim_seconds: Seconds = setting(
        120, "A worker's right to send a document expires after", expects=_SECONDS, example="120"
    )
    send_concurrency: Annotated[int, Field(ge=1, le=1000)] = setting(
        64, "Requests in flight per worker process", expects="a whole number from 1 to 1000", example="64"
    )
    batch_size: Annotated[int, Field(ge=1, le=1000)] | None = setting(
        None,
        "Documents per message; unset: twice SEND_CONCURRENCY and at least 100, or what CLAIM_SECONDS leaves time for",
        expects="a whole number from 1 to 1000",
        example="128",
    )

    rate_limit: str | None = setting(
        None,
        "Most requests to the partner, all processes together",
        expects="a rate such as 50/second or 1000/minute",
        example="50/second",
    )
    rate_limit_per_facility: str | None = setting(
        None,
        "Most requests for one facility",
        expects="a rate such as 5/second or 100/minute",
        example="5/second",
    )
    grace_seconds: Annotated[int, Field(ge=0, le=3600)] = setting(
        10,
        "A new document without lines is given so long for them to be written",
        expects="a whole number of seconds, 0 or more",
        example="10",
    )

    # Trying again
    retry_schedule: str = setting(
        "30s,2m,10m,1h,6h,24h",
        "Delays after the first, second, ... failed try of a document",
        expects="delays such as 30s, 2m, 1h or 1d, separated by commas",
        example="30s,2m,10m,1h,6h,24h",
    )
    defer_seconds: Seconds = setting(
        60, "Delay while the partner itself is unavailable and names none", expects=_SECONDS, example="60"
    )
    unknown_outcome_policy: UnknownPolicy = setting(
        UnknownPolicy.RESEND,
        "A document that may have arrived: resend (same idempotency key), lookup (ask the partner first) "
        "or hold (for a person)",
        expects="resend, lookup or hold",
        example="resend",
    )

    # Console
    console_host: Annotated[str, AfterValidator(_host)] = setting(
        "127.0.0.1",
        "Address the console listens on; anything but this machine's own needs TLS or CONSOLE_ALLOW_PLAIN_HTTP",
        expects="an address of this machine, or 0.0.0.0 for all of them",
        example="127.0.0.1",
    )
    console_port: Annotated[int, Field(ge=1, le=65535)] = setting(
        8080, "Port of the console", expects="a port number from 1 to 65535", example="8080"
    )
    console_public_url: Annotated[str, AfterValidator(_site)] | None = setting(
        None,
        "How browsers reach the console, where a proxy stands before it",
        expects="an address that begins with https:// or http://, without a path",
        example="https://hermes.example.vn",
    )
    console_trusted_proxies: str | None = setting(
        None,
        "Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed",
        expects="IP addresses or networks, separated by commas",
        example="127.0.0.1",
    )
    console_allow_plain_http: bool = setting(
        False,
        "Listen on other addresses than this machine's own without TLS: passwords then travel readable",
        expects=_YES_NO,
        example="no",
    )
    console_tls_certificate: Path | None = setting(
        None,
        "Certificate (PEM, with its chain) with which the console itself speaks HTTPS",
        expects="a file",
        example="/etc/hermes/console.crt",
    )
    console_tls_key: Path | None = setting(
        None, "Private key of the certificate (PEM)", expects="a file", example="/etc/hermes/console.key"
    )
    console_secret_key: Annotated[SecretStr, Field(min_length=32)] | None = setting(
        None,
        "Key that sessions are signed with; unset: made once and kept in the ledger",
        expects="at least 32 characters that nobody can guess",
        example="********************************",
    )
    console_session_hours: Annotated[int, Field(ge=1, le=720)] = setting(
        12, "A login is good for", expects="a whole number of hours from 1 to 720", example="12"
    )
    console_metrics_token: Annotated[SecretStr, Field(min_length=16)] | None = setting(
        None,
        "What a Prometheus server shows as its bearer token to read /metrics; unset: only this machine may",
        expects="at least 16 characters that nobody can guess",
        example="****************",
    )

    # Operators
    hermes_lang: Language = setting(Language.VI, "Language of what operators read", expects="vi or en", example="vi")
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = setting(
        "INFO", "Least important log lines shown", expects="DEBUG, INFO, WARNING or ERROR", example="INFO"
    )
    log_format: LogFormat = setting(
        LogFormat.CONSOLE,
        "Log lines for people (console) or machines (json)",
        expects="console or json",
        example="console",
    )
    progress_folder: Path | None = setting(
        None,
        "Where a scheduler or worker notes its progress for its health check; one folder for each",
        expects="a folder",
        example="/tmp/progress",  # noqa: S108  in a container it is that process's own
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Explicit values, the environment, `NAME_FILE`, then `.env`."""
        return init_settings, env_settings, _FileSource(settings_cls), _DotenvSource(settings_cls)

    @model_validator(mode="before")
    @classmethod
    def _not_between_quotes(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`docker run --env-file` and Kubernetes take the quotes of `NAME="value"` as part of the value."""
        environment = {name.upper(): value for name, value in os.environ.items()}
        for name in values:
            value = environment.get(name.upper(), "").strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                raise ConfigError(
                    f"{name.upper()} (from environment) stands between quotes, which are taken as part of the value. "
                    f"Leave them out, for example {name.upper()}={_example(name)}. A secret that has them: "
                    f"{name.upper()}_FILE."
                )
        return values

    @model_validator(mode="before")
    @classmethod
    def _blank_is_not_set(cls, values: dict[str, Any]) -> dict[str, Any]:
        trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in trimmed.items() if value != ""}

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("retry_schedule")
    @classmethod
    def _readable_schedule(cls, value: str) -> str:
        RetrySchedule.parse(value)
        return value

    @field_validator("rate_limit", "rate_limit_per_facility")
    @classmethod
    def _readable_rate(cls, value: str | None) -> str | None:
        if value is not None and (parse(value).amount < 1 or re.search(r"(/|per)\s*0+(?!\d)", value)):
            raise ValueError("nothing would ever be sent")
        return value

    @field_validator("console_trusted_proxies")
    @classmethod
    def _readable_proxies(cls, value: str | None) -> str | None:
        for each in (value or "").split(","):
            if each.strip():
                ip_network(each.strip(), strict=False)
        return value

    @field_validator("mssql_server")
    @classmethod
    def _readable_server(cls, value: str | None) -> str | None:
        if value is not None:
            split_server(value)
        return value

    @field_validator("redis_sentinels")
    @classmethod
    def _readable_sentinels(cls, value: str | None) -> str | None:
        if value is not None:
            split_sentinels(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """The order of times without which promises would not hold (P2, P5)."""
        rounds = math.ceil(self.documents_per_batch / self.send_concurrency)
        slowest = rounds * self.longest_send_seconds
        if self.claim_seconds <= slowest:
            raise ConfigError(
                f"CLAIM_SECONDS ({self.claim_seconds}) is too short: a batch of {self.documents_per_batch} documents, "
                f"{self.send_concurrency} at a time, may take {slowest} seconds at REQUEST_TIMEOUT_SECONDS="
                f"{self.request_timeout_seconds}. Set CLAIM_SECONDS to more than {slowest}, "
                "or lower BATCH_SIZE or REQUEST_TIMEOUT_SECONDS."
            )
        for name in ("connect_timeout_seconds", "read_timeout_seconds"):
            given = getattr(self, name) if name in self.model_fields_set else None
            if given is not None and given > self.request_timeout_seconds:
                raise ConfigError(
                    f"{name.upper()} ({given}) must not be more than REQUEST_TIMEOUT_SECONDS "
                    f"({self.request_timeout_seconds}), of which it is a part, for example 10 and 30."
                )
        if self.scan_interval_seconds >= self.reoffer_after_seconds:
            raise ConfigError(
                f"SCAN_INTERVAL_SECONDS ({self.scan_interval_seconds}) must be less than REOFFER_SECONDS "
                f"({self.reoffer_after_seconds}), for example 60 and 300."
            )
        if self.mssql_server and self.source_database_url is None:
            for name in ("mssql_database", "mssql_user", "mssql_password"):
                if getattr(self, name) is None:
                    raise ConfigError(f"{_missing(name)} It is needed because MSSQL_SERVER is set.")
        return self

    @property
    def longest_send_seconds(self) -> int:
        """How long one document may take: with lookup, it is asked for and then sent under one claim."""
        requests = 2 if self.unknown_outcome_policy is UnknownPolicy.LOOKUP else 1
        return requests * self.request_timeout_seconds

    @property
    def documents_per_batch(self) -> int:
        """Documents in one message, and in one claim: two rounds of requests, at least a hundred documents, so that
        what is done once per batch is shared by many; but no more than the claim leaves time for."""
        rounds = max(1, (self.claim_seconds - 1) // self.longest_send_seconds)
        wanted = max(2 * self.send_concurrency, LEAST_BATCH)
        return self.batch_size or min(wanted, self.send_concurrency * rounds, 1000)

    @property
    def reoffer_after_seconds(self) -> int:
        """When a document that nobody took up is offered again."""
        return self.reoffer_seconds or max(30, 5 * self.scan_interval_seconds)

    @property
    def longest_task_seconds(self) -> int:
        """A claim is worth nothing after CLAIM_SECONDS; a task that takes twice as long and more hangs."""
        return 2 * self.claim_seconds + 60

    @property
    def database_url(self) -> URL:
        """The source database and ledger."""
        if self.source_database_url is not None:
            return make_url(self.source_database_url.get_secret_value())
        if self.mssql_server is None:
            return make_url(DEFAULT_SQLITE)
        return self._mssql_url(self.mssql_server)

    def _mssql_url(self, server: str) -> URL:
        host, port = split_server(server)
        query = {
            "Encrypt": "yes" if self.mssql_encrypt else "no",
            "TrustServerCertificate": "yes" if self.mssql_trust_server_certificate else "no",
        }
        driver = "mssql+mssqlpython"
        if self.mssql_driver:
            driver = "mssql+pyodbc"
            query["driver"] = self.mssql_driver.strip("{}")
        return URL.create(
            driver,
            username=self.mssql_user,
            password=reveal(self.mssql_password),
            host=host,
            port=port,
            database=self.mssql_database,
            query=query,
        )

    @property
    def broker_url(self) -> str | None:
        """Redis, or None when none is configured: redis:// or rediss://, or sentinel:// once for each Sentinel,
        separated by semicolons, as Celery takes them. With TLS, certificates are checked unless REDIS_URL itself
        says otherwise: Celery alone would not."""
        if self.redis_url is not None:
            return self._with_tls(self.redis_url.get_secret_value())
        if self.redis_sentinels is not None:
            return self._sentinel_url(split_sentinels(self.redis_sentinels))
        if self.redis_host is None:
            return None
        scheme = "rediss" if self.redis_tls else "redis"
        return self._with_tls(self._redis_url(scheme, self.redis_host, self.redis_port))

    def _redis_url(self, scheme: str, host: str, port: int) -> str:
        credentials = ""
        if self.redis_username or self.redis_password:
            user, password = self.redis_username or "", reveal(self.redis_password) or ""
            credentials = f"{quote(user, safe='')}:{quote(password, safe='')}@"
        return f"{scheme}://{credentials}{_in_address(host)}:{port}/{self.redis_db}"

    def _sentinel_url(self, nodes: list[tuple[str, int]]) -> str:
        """Credentials, database and TLS stand in the first address and count for Redis itself."""
        (host, port), *others = nodes
        first = self._redis_url("sentinel", host, port)
        if self.redis_tls:
            first = _with_query(first, self.tls_options)
        return ";".join([first, *(f"sentinel://{_in_address(host)}:{port}" for host, port in others)])

    def _with_tls(self, url: str) -> str:
        return _with_query(url, self.tls_options) if url.startswith("rediss://") else url

    @property
    def tls_options(self) -> dict[str, str]:
        """As both redis-py and kombu read them from an address."""
        files = {
            "ssl_ca_certs": self.redis_tls_ca,
            "ssl_certfile": self.redis_tls_cert,
            "ssl_keyfile": self.redis_tls_key,
        }
        return {"ssl_cert_reqs": "required"} | {name: str(file) for name, file in files.items() if file is not None}

    @property
    def console_url(self) -> str:
        """Where a browser finds the console."""
        if self.console_public_url is not None:
            return self.console_public_url
        scheme = "http" if self.console_tls_certificate is None else "https"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.console_host, self.console_host)  # noqa: S104
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.console_port}"

    def require_safe_console(self) -> None:
        """Raise ConfigError when passwords would travel readable over a network and nobody said that they may."""
        if (self.console_tls_certificate is None) != (self.console_tls_key is None):
            raise ConfigError("CONSOLE_TLS_CERTIFICATE and CONSOLE_TLS_KEY belong together: set both or neither.")
        private = self.console_host == "localhost" or _is_loopback(self.console_host)
        if not (private or self.console_tls_certificate or self.console_allow_plain_http):
            raise ConfigError(
                f"CONSOLE_HOST={self.console_host}: the console would be open to the network over plain HTTP, and "
                "passwords with it. Leave CONSOLE_HOST at 127.0.0.1 behind a proxy that speaks HTTPS, or set "
                "CONSOLE_TLS_CERTIFICATE and CONSOLE_TLS_KEY; where the network itself is private, as between "
                "containers, set CONSOLE_ALLOW_PLAIN_HTTP=yes."
            )

    @property
    def retry_policy(self) -> RetryPolicy:
        """What the rules need to know about trying again."""
        return RetryPolicy(
            schedule=RetrySchedule.parse(self.retry_schedule),
            unknown=self.unknown_outcome_policy,
            defer_delay=timedelta(seconds=self.defer_seconds),
        )

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, to be masked wherever text from outside is kept (P9)."""
        addresses = [reveal(address) for address in self._addresses]
        return *self.passwords, *filter(None, addresses)

    @cached_property
    def passwords(self) -> tuple[str, ...]:
        """Those secrets that are no addresses, and the passwords in addresses."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        plain = [value.get_secret_value() for value in values.values() if isinstance(value, SecretStr)]
        whole = [address.get_secret_value() for address in self._addresses]
        return tuple(filter(None, [*(each for each in plain if each not in whole), *map(_password, whole)]))

    @property
    def _addresses(self) -> list[SecretStr]:
        return [each for each in (self.source_database_url, self.redis_url, self.mongo_uri) if each is not None]

    def require(self, *names: str) -> None:
        """Raise ConfigError for the first of these settings that is not set."""
        for name in names:
            if getattr(self, name) is None:
                raise ConfigError(_missing(name))

    def summary(self) -> dict[str, str]:
        """The effective settings for one log line at start: secrets masked, unset ones left out."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name.upper(): _shown(value) for name, value in values.items() if value is not None}


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _with_query(url: str, options: dict[str, str]) -> str:
    """`url` with these options, but for those it has already."""
    parts = urlsplit(url)
    added = {name: value for name, value in options.items() if name not in dict(parse_qsl(parts.query))}
    query = "&".join(filter(None, [parts.query, urlencode(added, safe="/")]))
    return parts._replace(query=query).geturl()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _password(address: str) -> str:
    """As SQLAlchemy finds it, up to the last `@`: drivers quote the password alone."""
    found = re.match(r"[^:]+://[^:@/]*:(.*)@", address)
    return unquote(found[1]) if found else ""


class _FileSource(PydanticBaseSettingsSource):
    """`NAME_FILE`: the value stands in that file."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return _content(_environment(), field_name.upper()), field_name, False

    def __call__(self) -> dict[str, Any]:
        environment = _environment()
        values = {name: _content(environment, name.upper()) for name in self.settings_cls.model_fields}
        return {name: value for name, value in values.items() if value}


def _content(environment: Mapping[str, str], name: str) -> str | None:
    path = environment.get(f"{name}_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}_FILE: the file {path} cannot be read: {error}") from error


class _DotenvSource(PydanticBaseSettingsSource):
    """`.env`, taken literally: a `$` in a password is a dollar sign."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return _dotenv().get(field_name.upper()), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = _dotenv()
        _refuse_misspelt(found)
        return {name: found[name.upper()] for name in self.settings_cls.model_fields if name.upper() in found}


def split_server(server: str) -> tuple[str, int | None]:
    """`host,1433`, `host:1433` or `host\\instance` → (host or host\\instance, port). Raises ValueError."""
    match = re.fullmatch(r"(?P<host>[\w.\-]+(\\[\w$\-]+)?|\[[0-9a-fA-F:]+\])\s*([,:]\s*(?P<port>\d{1,5}))?", server)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or (port is not None and not 1 <= port <= 65535):
        raise ValueError("not a server name")
    return match["host"].strip("[]"), port


def split_sentinels(nodes: str) -> list[tuple[str, int]]:
    """`host:port,host` → hosts with their ports, 26379 where none is given. Raises ValueError."""
    return [_sentinel(node.strip()) for node in nodes.split(",")]


def _sentinel(node: str) -> tuple[str, int]:
    parts = urlsplit(f"//{node}")
    if parts.netloc != node or "@" in node:
        raise ValueError("not a host with a port")
    port = 26379 if parts.port is None else parts.port
    if port == 0:
        raise ValueError("not a port")
    return _host(parts.hostname or ""), port


def reveal(secret: SecretStr | None) -> str | None:
    """The plain value of a secret, at the one place that hands it over."""
    return None if secret is None else secret.get_secret_value()


def load_settings(**values: Any) -> Settings:
    """Read the settings. Raises ConfigError that names every setting at fault."""
    try:
        return Settings(**values)
    except ValidationError as error:
        faults = [_fault(str(item["loc"][0])) for item in error.errors(include_input=False, include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(faults))) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{ENV_FILE} cannot be read: it is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{ENV_FILE} cannot be read: {error.strerror}. Run as the user whom it belongs to.") from None


@cache
def get_settings() -> Settings:
    """The process's settings, read once."""
    return load_settings()


def isolate(folder: Path, values: dict[str, str]) -> None:
    """Make this process, and those it starts, see `values` as their only settings: written to `folder/.env`,
    which becomes the working directory; every setting of the environment is removed."""
    for variable in list(os.environ):
        name = variable.upper().removesuffix("_FILE")
        if name.lower() in Settings.model_fields:
            del os.environ[variable]
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    (folder / ENV_FILE).write_text(lines, encoding="utf-8")
    os.chdir(folder)
    get_settings.cache_clear()


def _dotenv() -> dict[str, str]:
    """What `.env` says, taken literally. Raises ConfigError for a line without a value, or a name given twice."""
    if not ENV_FILE.is_file():
        return {}
    with ENV_FILE.open(encoding="utf-8-sig") as file:
        bindings = list(_assignments(parse_stream(file)))
    names = Counter(name for name, _ in bindings)
    for name, times in names.items():
        if times > 1:
            raise ConfigError(f"{name} stands {times} times in {ENV_FILE}. Leave one of them.")
    return {name: value for name, value in bindings if value}


def _assignments(bindings: Iterator[Binding]) -> Iterator[tuple[str, str]]:
    for binding in bindings:
        if binding.error or (binding.key is not None and binding.value is None):
            raise ConfigError(
                f"{ENV_FILE}, line {_line(binding)}: not understood. A line is NAME=value, for example "
                f"API_BASE_URL={_example('api_base_url')}; a value with quotes, # or blanks stands between '…'."
            )
        if binding.key is not None:
            yield binding.key.upper(), binding.value or ""


def _line(binding: Binding) -> int:
    """A binding begins with the blank lines before it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _refuse_misspelt(found: Mapping[str, str]) -> None:
    """Raise ConfigError for a name in `.env` that is none of ours and looks like one. Others may have names there."""
    for name in found:
        if meant := _meant_by(name.removesuffix("_FILE")):
            raise ConfigError(
                f"{name} (from {ENV_FILE}) is no setting of Hermes. Is {meant} meant, for example "
                f"{meant}={_example(meant.lower())}?"
            )


def _meant_by(name: str) -> str | None:
    """The setting that a name is a slip of; None for a setting, and for what a word tells apart from it."""
    known = [field.upper() for field in Settings.model_fields]
    close = [] if name in known else get_close_matches(name, known, 1, 0.8)
    told_apart = close and set(close[0].split("_")) <= set(name.split("_"))  # as MSSQL_SA_PASSWORD is
    return close[0] if close and not told_apart else None


def _environment() -> dict[str, str]:
    return _dotenv() | {name.upper(): value for name, value in os.environ.items() if value}


def _origin(name: str) -> str:
    if any(name == variable.upper() and value for variable, value in os.environ.items()):
        return "environment"
    if path := _environment().get(f"{name}_FILE"):
        return path
    return str(ENV_FILE) if name in _dotenv() else "given by the program"


def _expectation(name: str) -> str:
    example = f", for example {name.upper()}={_example(name)}" if _example(name) else ""
    return f"{_about(name)['expects']}{example}"


def _example(name: str) -> str:
    return str(_about(name)["example"])


def _about(name: str) -> dict[str, JsonValue]:
    extra = Settings.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)  # noqa: S101  every field is made by setting()
    return extra


def _fault(name: str) -> str:
    return f"{name.upper()} (from {_origin(name.upper())}) is not usable: it must be {_expectation(name)}."


def _missing(name: str) -> str:
    return f"{name.upper()} is not set. Put it into the environment or {ENV_FILE}: {_expectation(name)}."


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "********"
    return "yes" if value is True else "no" if value is False else str(value)

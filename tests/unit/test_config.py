"""Every setting: where it comes from, what is refused and in which words, and what is never shown (P9)."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kombu.utils.url import url_to_parts
from pydantic import SecretStr
from redis.connection import parse_url

from app.core.config import (
    Language,
    LogFormat,
    LogPayloads,
    Settings,
    get_settings,
    isolate,
    load_settings,
    reveal,
    split_server,
)
from app.domain.decide import UnknownPolicy
from app.domain.errors import ConfigError
from app.domain.retry import RetrySchedule

DEFAULTS: dict[str, Any] = {
    "api_base_url": None,
    "api_username": None,
    "api_password": None,
    "partner_profile": "basic",
    "request_timeout_seconds": 30,
    "connect_timeout_seconds": 10,
    "read_timeout_seconds": None,
    "max_response_bytes": 1024 * 1024,
    "source_database_url": None,
    "mssql_server": None,
    "mssql_database": None,
    "mssql_user": None,
    "mssql_password": None,
    "mssql_driver": None,
    "mssql_encrypt": True,
    "mssql_trust_server_certificate": False,
    "db_connect_timeout_seconds": 10,
    "db_query_timeout_seconds": 60,
    "redis_host": None,
    "redis_port": 6379,
    "redis_username": None,
    "redis_password": None,
    "redis_db": 0,
    "redis_tls": False,
    "redis_tls_ca": None,
    "redis_tls_cert": None,
    "redis_tls_key": None,
    "redis_sentinels": None,
    "redis_sentinel_master": "mymaster",
    "redis_sentinel_username": None,
    "redis_sentinel_password": None,
    "redis_url": None,
    "broker_timeout_seconds": 10,
    "mongo_uri": None,
    "mongo_db_name": "sync_data_logs",
    "log_payloads": LogPayloads.MASKED,
    "log_retention_days": 90,
    "scan_interval_seconds": 60,
    "reoffer_seconds": None,
    "max_queued": 10_000,
    "claim_seconds": 120,
    "send_concurrency": 64,
    "batch_size": None,
    "rate_limit": None,
    "rate_limit_per_facility": None,
    "grace_seconds": 10,
    "retry_schedule": "30s,2m,10m,1h,6h,24h",
    "defer_seconds": 60,
    "unknown_outcome_policy": UnknownPolicy.RESEND,
    "console_host": "127.0.0.1",
    "console_port": 8080,
    "console_public_url": None,
    "console_trusted_proxies": None,
    "console_allow_plain_http": False,
    "console_tls_certificate": None,
    "console_tls_key": None,
    "console_secret_key": None,
    "console_session_hours": 12,
    "console_metrics_token": None,
    "hermes_lang": Language.VI,
    "log_level": "INFO",
    "log_format": LogFormat.CONSOLE,
    "progress_folder": None,
}
SECONDS = ["qqx1", "0", "-30", "86401", "30 s", "1.5", "9" * 30]
RATES = ["qqx1", "50", "-5/second", "1.5/second", "50/qqx1", "50/second, qqx1"]
YES_NO = ["qqx1", "jein", "2"]
BAD: dict[str, list[str]] = {
    "api_base_url": [
        "qqx1",
        "partner.example.vn/qqx1",
        "ftp://qqx1.vn",
        "http://",
        "https:///qqx1",
        "http://qqx1:geheim@host",
        "http://qqx1@host",
        "http://host?qqx1=1",
        "http://host#qqx1",
        "http://qqx1:99999",
        "http://qqx1:port",
        "http://[::1",
    ],
    "request_timeout_seconds": SECONDS,
    "connect_timeout_seconds": SECONDS,
    "read_timeout_seconds": SECONDS,
    "max_response_bytes": ["qqx1", "1023", "16777217", "1MB"],
    "source_database_url": ["qqx1", "postgresql://qqx1", "mysql://qqx1/db", "mssql+qqx1://host/db", "://", "qqx1:"],
    "mssql_server": ["tcp:qqx1,1433", "qqx1,", "qqx1,0", "qqx1,65536", "qqx1:x", "qq x1", "qqx1;Trusted=yes", "(qqx1)"],
    "mssql_encrypt": YES_NO,
    "mssql_trust_server_certificate": YES_NO,
    "db_connect_timeout_seconds": SECONDS,
    "db_query_timeout_seconds": SECONDS,
    "redis_port": ["qqx1", "0", "65536", "-1", "6379a"],
    "redis_db": ["qqx1", "-1", "1024"],
    "redis_tls": YES_NO,
    "redis_sentinels": ["qqx1:x", "qqx1:0", "qqx1:99999", "redis://qqx1", "qqx1,,b", "u:qqx1@host", "qq x1"],
    "redis_url": ["qqx1", "http://qqx1", "redis:qqx1", "redis+socket://qqx1"],
    "broker_timeout_seconds": SECONDS,
    "mongo_uri": ["qqx1", "http://qqx1", "mongo://qqx1", "mongodb:qqx1"],
    "mongo_db_name": ["qq x1", "qqx1.a", "qqx1/a", "$qqx1", "qqx1" * 16],
    "log_payloads": ["qqx1", "FULLY", "yes"],
    "log_retention_days": ["qqx1", "0", "36501"],
    "scan_interval_seconds": SECONDS,
    "reoffer_seconds": SECONDS,
    "max_queued": ["qqx1", "0", "1000001"],
    "claim_seconds": SECONDS,
    "send_concurrency": ["qqx1", "0", "1001"],
    "batch_size": ["qqx1", "0", "1001"],
    "rate_limit": RATES,
    "rate_limit_per_facility": RATES,
    "grace_seconds": ["qqx1", "-1", "3601"],
    "retry_schedule": ["qqx1", "30", "30s;2m", "0s", "32d", "30s,,2m"],
    "defer_seconds": SECONDS,
    "unknown_outcome_policy": ["qqx1", "look up", "RESENT"],
    "console_host": ["qq x1", "http://qqx1", "qqx1/24", "-qqx1"],
    "console_port": ["qqx1", "0", "65536", "-1", "8080a"],
    "console_public_url": ["qqx1", "ftp://qqx1", "https://qqx1/hermes", "https://a:b@qqx1", "https://qqx1?x=1"],
    "console_trusted_proxies": ["qqx1", "10.0.0.1;qqx1", "10.0.0.0/99", "*"],
    "console_allow_plain_http": YES_NO,
    "console_secret_key": ["qqx1", "qqx1" * 7],
    "console_session_hours": ["qqx1", "0", "721", "-1"],
    "console_metrics_token": ["qqx1", "qqx1" * 3],
    "hermes_lang": ["qqx1", "fr"],
    "log_level": ["qqx1", "TRACE", "INFOS"],
    "log_format": ["qqx1", "xml"],
}
ANY_TEXT = {
    "api_username",
    "api_password",
    "partner_profile",  # known profiles lie beyond the settings: the client refuses the others
    "mssql_database",
    "mssql_user",
    "mssql_password",
    "mssql_driver",
    "redis_host",
    "redis_username",
    "redis_password",
    "redis_tls_ca",
    "redis_tls_cert",
    "redis_tls_key",
    "redis_sentinel_master",
    "redis_sentinel_username",
    "redis_sentinel_password",
    "console_tls_certificate",
    "console_tls_key",
    "progress_folder",
}
SECRET_NAMES = [
    "api_password",
    "source_database_url",
    "mssql_password",
    "redis_password",
    "redis_sentinel_password",
    "redis_url",
    "mongo_uri",
    "console_secret_key",
    "console_metrics_token",
]
SECRETS = {
    "console_secret_key": "geheim-console-0123456789-0123456789",
    "console_metrics_token": "geheim-metrics-0123456789",
    "api_password": "geheim-api",
    "source_database_url": "mssql+pymssql://sa:geheim-url@host/DQG",
    "mssql_password": "geheim-mssql",
    "redis_password": "geheim-redis",
    "redis_sentinel_password": "geheim-sentinel",
    "redis_url": "redis://:geheim-redis-url@host:6379/0",
    "mongo_uri": "mongodb://user:geheim-mongo@host:27017",
}
MSSQL = {"MSSQL_SERVER": "host", "MSSQL_DATABASE": "DQG", "MSSQL_USER": "hermes", "MSSQL_PASSWORD": "pw"}

Give = Callable[[str, str], str]


def in_environment(monkeypatch: pytest.MonkeyPatch) -> Give:
    def give(name: str, value: str) -> str:
        monkeypatch.setenv(name, value)
        return "environment"

    return give


def in_env_file(_monkeypatch: pytest.MonkeyPatch) -> Give:
    def give(name: str, value: str) -> str:
        with Path(".env").open("a", encoding="utf-8") as file:
            file.write(f"{name}='{value}'\n")
        return ".env"

    return give


def in_file_named_by_environment(monkeypatch: pytest.MonkeyPatch) -> Give:
    def give(name: str, value: str) -> str:
        path = Path(f"secret-of-{name.lower()}").absolute()
        path.write_text(value + "\n", encoding="utf-8")
        monkeypatch.setenv(f"{name}_FILE", str(path))
        return str(path)

    return give


def in_file_named_by_env_file(monkeypatch: pytest.MonkeyPatch) -> Give:
    def give(name: str, value: str) -> str:
        path = Path(f"secret-of-{name.lower()}").absolute()
        path.write_text(value + "\n", encoding="utf-8")
        in_env_file(monkeypatch)(f"{name}_FILE", str(path))
        return str(path)

    return give


ORIGINS = [in_environment, in_env_file, in_file_named_by_environment, in_file_named_by_env_file]


@pytest.fixture(params=ORIGINS, ids=lambda origin: origin.__name__)
def give(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Give:
    """Gives a setting its value in each of the ways there are; returns how messages call that place."""
    chosen: Give = request.param(monkeypatch)
    return chosen


def refusal(**values: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        load_settings(**values)
    return str(refused.value)


def example_of(name: str) -> str:
    extra = Settings.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["example"])


# --- defaults -------------------------------------------------------------------------------------


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = load_settings()
    assert {name: getattr(settings, name) for name in Settings.model_fields} == DEFAULTS


def test_an_empty_environment_means_the_embedded_mode() -> None:
    settings = load_settings()
    assert str(settings.database_url) == "sqlite:///var/hermes.db"
    assert settings.broker_url is None
    assert settings.secrets == ()
    assert settings.documents_per_batch == 128
    assert settings.reoffer_after_seconds == 300


def test_every_setting_is_tested_for_senseless_values_or_takes_any_text() -> None:
    assert BAD.keys() | ANY_TEXT == Settings.model_fields.keys()
    assert not BAD.keys() & ANY_TEXT


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_example_of_every_setting_is_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed, value in MSSQL.items():
        monkeypatch.setenv(needed, value)
    monkeypatch.setenv(name.upper(), example_of(name))
    value = getattr(load_settings(), name)
    assert value is not None
    assert str(value).strip("*") == "" or value in (True, False) or str(value) == example_of(name)


@pytest.mark.parametrize(
    ("name", "value", "read_as"),
    [
        ("REQUEST_TIMEOUT_SECONDS", "7", 7),
        ("REQUEST_TIMEOUT_SECONDS", " 7 ", 7),
        ("API_BASE_URL", "https://partner.vn/api/", "https://partner.vn/api"),
        ("API_BASE_URL", "http://127.0.0.1:8088", "http://127.0.0.1:8088"),
        ("API_BASE_URL", "http://[::1]:8088///", "http://[::1]:8088"),
        ("API_USERNAME", "  nhathuoc01 ", "nhathuoc01"),
        ("MSSQL_ENCRYPT", "no", False),
        ("MSSQL_ENCRYPT", "Yes", True),
        ("REDIS_TLS", "true", True),
        ("REDIS_TLS", "0", False),
        ("LOG_LEVEL", "warning", "WARNING"),
        ("LOG_PAYLOADS", "full", LogPayloads.FULL),
        ("UNKNOWN_OUTCOME_POLICY", "lookup", UnknownPolicy.LOOKUP),
        ("UNKNOWN_OUTCOME_POLICY", "hold", UnknownPolicy.HOLD),
        ("HERMES_LANG", "en", Language.EN),
        ("LOG_FORMAT", "json", LogFormat.JSON),
        ("MONGO_DB_NAME", "nhật_ký-2", "nhật_ký-2"),
    ],
)
def test_a_value_is_understood_wherever_it_comes_from(give: Give, name: str, value: str, read_as: Any) -> None:
    give(name, value)
    assert getattr(load_settings(), name.lower()) == read_as


def test_names_may_be_written_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("hermes_lang", "en")
    Path(".env").write_text("log_level=DEBUG\n", encoding="utf-8")
    settings = load_settings()
    assert (settings.hermes_lang, settings.log_level) == (Language.EN, "DEBUG")


def test_unknown_variables_disturb_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMES_UNKNOWN", "x")
    Path(".env").write_text("SOMETHING_ELSE=1\n", encoding="utf-8")
    assert load_settings() == Settings()


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "name", "value"),
    [(in_environment, name, value) for name, values in BAD.items() for value in values]
    + [(origin, name, values[0]) for origin in ORIGINS[1:] for name, values in BAD.items()],
)
def test_p9_a_senseless_value_is_refused_by_name_expectation_and_example_but_not_by_content(
    monkeypatch: pytest.MonkeyPatch, origin: Callable[[pytest.MonkeyPatch], Give], name: str, value: str
) -> None:
    place = origin(monkeypatch)(name.upper(), value)
    message = refusal()
    assert message.startswith(f"{name.upper()} (from {place}) is not usable: it must be ")
    assert message.endswith(f", for example {name.upper()}={example_of(name)}.")
    assert "qqx1" not in message
    assert "geheim" not in message


def test_an_absurdly_long_delay_is_refused_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_SCHEDULE", "9999999999999d")
    assert refusal().startswith("RETRY_SCHEDULE (from environment) is not usable")


@pytest.mark.parametrize("value", ["redis://host", "host:6380", "host/1", "user@host", "a b"])
def test_a_redis_host_that_is_no_host_name_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("REDIS_HOST", value)
    assert refusal().startswith("REDIS_HOST (from environment) is not usable: it must be a host name")


@pytest.mark.parametrize(
    "value", ["http://a b", "http://a..b", "http://" + "a" * 64 + ".vn", "http://x\nhost", "http://x/a b"]
)
def test_an_address_that_no_client_can_use_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("API_BASE_URL", value)
    assert refusal().startswith("API_BASE_URL (from environment) is not usable")


@pytest.mark.parametrize("name", ["RATE_LIMIT", "RATE_LIMIT_PER_FACILITY"])
def test_a_rate_that_lets_nothing_through_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "0/second")
    assert refusal().startswith(f"{name} (from environment) is not usable: it must be a rate")


@pytest.mark.parametrize("name", ["RATE_LIMIT", "RATE_LIMIT_PER_FACILITY"])
def test_a_rate_over_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "50/0 second")
    assert refusal().startswith(f"{name} (from environment) is not usable: it must be a rate")


def test_all_senseless_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "qqx1")
    monkeypatch.setenv("API_BASE_URL", "qqx1")
    Path(".env").write_text("LOG_LEVEL=qqx1\n", encoding="utf-8")
    lines = refusal().splitlines()
    assert [line.split(" is not usable")[0] for line in lines] == [
        "API_BASE_URL (from environment)",
        "REDIS_PORT (from environment)",
        "LOG_LEVEL (from .env)",
    ]


def test_a_value_given_by_the_program_is_refused_as_such() -> None:
    assert refusal(redis_port=0).startswith("REDIS_PORT (from given by the program) is not usable")


def test_p9_the_refusal_has_no_cause_that_would_show_the_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_URI", "geheim://user:geheim@host")
    with pytest.raises(ConfigError) as refused:
        load_settings()
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


# --- precedence -----------------------------------------------------------------------------------


def test_the_program_goes_before_the_environment_before_the_file_before_dot_env(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_env_file(monkeypatch)("API_USERNAME", "of-dot-env")
    assert load_settings().api_username == "of-dot-env"
    in_file_named_by_environment(monkeypatch)("API_USERNAME", "of-file")
    assert load_settings().api_username == "of-file"
    monkeypatch.setenv("API_USERNAME", "of-environment")
    assert load_settings().api_username == "of-environment"
    assert load_settings(api_username="of-program").api_username == "of-program"


@pytest.mark.parametrize(
    "origins",
    [
        (in_environment, in_env_file),
        (in_environment, in_file_named_by_environment),
        (in_environment, in_file_named_by_env_file),
        (in_file_named_by_environment, in_env_file),
    ],
)
def test_the_place_that_won_is_the_one_that_is_blamed(
    monkeypatch: pytest.MonkeyPatch, origins: tuple[Callable[[pytest.MonkeyPatch], Give], ...]
) -> None:
    winner, loser = origins
    loser(monkeypatch)("LOG_LEVEL", "DEBUG")
    blamed = winner(monkeypatch)("LOG_LEVEL", "qqx1")
    assert refusal().startswith(f"LOG_LEVEL (from {blamed}) ")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_an_empty_value_is_no_value(give: Give, name: str) -> None:
    give(name.upper(), "")
    assert getattr(load_settings(), name) == DEFAULTS[name]


@pytest.mark.parametrize(
    "name", ["api_username", "api_password", "redis_host", "redis_port", "hermes_lang", "redis_tls"]
)
def test_a_blank_value_is_no_value(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name.upper(), "   ")
    assert getattr(load_settings(), name) == DEFAULTS[name]


def test_an_empty_variable_does_not_hide_the_file_or_dot_env(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_USERNAME", "")
    monkeypatch.setenv("LOG_LEVEL", "")
    in_file_named_by_environment(monkeypatch)("API_USERNAME", "of-file")
    in_env_file(monkeypatch)("LOG_LEVEL", "DEBUG")
    settings = load_settings()
    assert (settings.api_username, settings.log_level) == ("of-file", "DEBUG")


# --- .env and secret files ------------------------------------------------------------------------


def test_a_byte_order_mark_before_dot_env_is_not_part_of_the_first_name() -> None:
    Path(".env").write_bytes(b"\xef\xbb\xbfHERMES_LANG=en\r\nLOG_LEVEL=DEBUG\r\n")
    settings = load_settings()
    assert (settings.hermes_lang, settings.log_level) == (Language.EN, "DEBUG")


def test_a_dot_env_with_a_byte_order_mark_is_blamed_like_any_other() -> None:
    Path(".env").write_bytes(b"\xef\xbb\xbfHERMES_LANG=qqx1\n")
    assert refusal().startswith("HERMES_LANG (from .env) ")


@pytest.mark.parametrize("content", ["API_PASSWORD=geheim\n".encode("utf-16"), b"API_PASSWORD=geheim\xe9\n"])
def test_a_dot_env_that_is_not_utf8_is_refused_saying_so(content: bytes) -> None:
    Path(".env").write_bytes(content)
    assert refusal() == ".env cannot be read: it is not UTF-8 text. Save it as UTF-8."


@pytest.mark.parametrize("password", ["pa#ss", "pa$ss", 'pa"ss', "pa'ss", "pa ss=x;y", "mật khẩu", "%20@:/"])
def test_a_secret_file_is_taken_literally_but_for_its_line_end(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    for line_end in ("", "\n", "\r\n"):
        Path("secret").write_bytes((password + line_end).encode())
        monkeypatch.setenv("API_PASSWORD_FILE", "secret")
        assert reveal(load_settings().api_password) == password


def test_a_byte_order_mark_is_not_part_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_bytes(b"\xef\xbb\xbfgeheim\r\n")
    monkeypatch.setenv("API_PASSWORD_FILE", "secret")
    assert reveal(load_settings().api_password) == "geheim"


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_every_secret_can_come_from_a_file(give: Give, name: str) -> None:
    give(name.upper(), SECRETS[name])
    assert reveal(getattr(load_settings(), name)) == SECRETS[name]


def test_a_secret_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PASSWORD_FILE", "/nowhere/password")
    assert refusal().startswith("API_PASSWORD_FILE: the file /nowhere/password cannot be read: ")


def test_a_secret_file_that_is_a_folder_or_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PASSWORD_FILE", ".")
    assert refusal().startswith("API_PASSWORD_FILE: the file . cannot be read: ")
    Path("binary").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setenv("API_PASSWORD_FILE", "binary")
    assert refusal().startswith("API_PASSWORD_FILE: the file binary cannot be read: ")


def test_a_password_with_a_dollar_and_braces_in_dot_env_is_taken_literally() -> None:
    Path(".env").write_text("API_PASSWORD='pa${HOME}ss'\n", encoding="utf-8")
    assert reveal(load_settings().api_password) == "pa${HOME}ss"


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("API_BASE_URI", "API_BASE_URL"),
        ("API_USER", "API_USERNAME"),
        ("API_PASSWORT", "API_PASSWORD"),
        ("api_pasword", "API_PASSWORD"),
        ("MSSQL_PASWORD", "MSSQL_PASSWORD"),
        ("REDIS_HOSTS", "REDIS_HOST"),
        ("MONGO_URL", "MONGO_URI"),
        ("RETRY_SHEDULE", "RETRY_SCHEDULE"),
        ("API_PASWORD_FILE", "API_PASSWORD"),
    ],
)
def test_a_name_in_dot_env_that_looks_like_one_of_ours_is_refused_with_the_one_that_is_meant(
    misspelt: str, meant: str
) -> None:
    Path(".env").write_text(f"HERMES_LANG=en\n{misspelt}=qqx1\n", encoding="utf-8")
    assert refusal() == (
        f"{misspelt.upper()} (from .env) is no setting of Hermes. "
        f"Is {meant} meant, for example {meant}={example_of(meant.lower())}?"
    )


@pytest.mark.parametrize("name", ["COMPOSE_PROJECT_NAME", "TZ", "MSSQL_SA_PASSWORD", "HTTP_PROXY", "ACCEPT_EULA"])
def test_names_in_dot_env_that_are_for_others_disturb_nobody(name: str) -> None:
    Path(".env").write_text(f"{name}=1\n", encoding="utf-8")
    assert load_settings() == Settings()


def test_a_name_that_stands_twice_in_dot_env_is_refused() -> None:
    """Whoever corrects the first of them would see no effect."""
    Path(".env").write_text("API_USERNAME=qqx1\nLOG_LEVEL=INFO\napi_username=qqx1\n", encoding="utf-8")
    assert refusal() == "API_USERNAME stands 2 times in .env. Leave one of them."


@pytest.mark.parametrize(
    "line", ["API_PASSWORD", "API_PASSWORD='qqx1", 'API_PASSWORD="qqx1', "API_PASSWORD: qqx1", "= qqx1", "qqx1 qqx1"]
)
def test_a_line_of_dot_env_that_is_no_assignment_is_named_by_its_number_but_not_its_content(line: str) -> None:
    Path(".env").write_text(f"HERMES_LANG=en\r\n# a comment\r\n\r\n{line}\r\n", encoding="utf-8")
    message = refusal()
    assert message.startswith(".env, line 4: not understood. A line is NAME=value, for example API_BASE_URL=")
    assert "qqx1" not in message


@pytest.mark.parametrize(
    "line", ["API_USERNAME = qqx1 ", 'API_USERNAME="qqx1"', "API_USERNAME='qqx1'", "export API_USERNAME=qqx1"]
)
def test_dot_env_may_have_quotes_blanks_and_export(line: str) -> None:
    Path(".env").write_bytes(f"\ufeff{line}\r\n".encode())
    assert load_settings().api_username == "qqx1"


def test_a_dot_env_that_may_not_be_read_is_refused_saying_so(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("HERMES_LANG=en\n", encoding="utf-8")

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert refusal() == ".env cannot be read: Permission denied. Run as the user whom it belongs to."


@pytest.mark.parametrize("value", ['"qqx1"', "'qqx1'", ' "qqx1" '])
@pytest.mark.parametrize("name", ["API_BASE_URL", "API_PASSWORD", "MSSQL_SERVER", "REDIS_PORT"])
def test_quotes_around_a_value_of_the_environment_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """`docker run --env-file` does not take them off, and a login would fail for no visible reason."""
    monkeypatch.setenv(name, value)
    message = refusal()
    assert message.startswith(f"{name} (from environment) stands between quotes, which are taken as part of the value.")
    assert f"for example {name}={example_of(name.lower())}" in message
    assert "qqx1" not in message


@pytest.mark.parametrize("name", ["CONNECT_TIMEOUT_SECONDS", "READ_TIMEOUT_SECONDS"])
def test_a_part_of_a_request_that_may_take_longer_than_the_whole_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "31")
    assert refusal().startswith(f"{name} (31) must not be more than REQUEST_TIMEOUT_SECONDS (30)")
    monkeypatch.setenv(name, "30")
    load_settings()


# --- SQL Server -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("host", "host", None),
        ("192.0.2.10,1433", "192.0.2.10", 1433),
        ("192.0.2.10:1433", "192.0.2.10", 1433),
        ("host , 1433", "host", 1433),
        ("sql-1.chain.vn,1", "sql-1.chain.vn", 1),
        ("host\\SQLEXPRESS", "host\\SQLEXPRESS", None),
        (".\\SQLEXPRESS", ".\\SQLEXPRESS", None),
        ("host\\INST$1,65535", "host\\INST$1", 65535),
        ("[::1]:1433", "::1", 1433),
        ("[2001:db8::1]", "2001:db8::1", None),
        (".", ".", None),
    ],
)
def test_a_server_may_carry_a_port_or_an_instance(
    monkeypatch: pytest.MonkeyPatch, server: str, host: str, port: int | None
) -> None:
    assert split_server(server) == (host, port)
    for name, value in {**MSSQL, "MSSQL_SERVER": server}.items():
        monkeypatch.setenv(name, value)
    url = load_settings().database_url
    assert (url.host, url.port) == (host, port)
    arguments, _ = url.get_dialect()().create_connect_args(url)
    assert f"Server={host}{'' if port is None else f',{port}'};" in arguments[0]


def connection_string(monkeypatch: pytest.MonkeyPatch, **values: str) -> tuple[str, str]:
    """The driver that will be used, and what it is told."""
    for name, value in {**MSSQL, **values}.items():
        monkeypatch.setenv(name, value)
    url = load_settings().database_url
    arguments, options = url.get_dialect()().create_connect_args(url)
    assert options == {}
    return url.drivername, arguments[0]


def test_the_bundled_driver_is_used_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection_string(monkeypatch) == (
        "mssql+mssqlpython",
        "Server=host;Database=DQG;UID=hermes;PWD=pw;Encrypt=yes;TrustServerCertificate=no",
    )


@pytest.mark.parametrize("driver", ["ODBC Driver 17 for SQL Server", "{ODBC Driver 17 for SQL Server}"])
def test_a_driver_may_be_named_with_or_without_braces(monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    assert connection_string(monkeypatch, MSSQL_DRIVER=driver) == (
        "mssql+pyodbc",
        "DRIVER={ODBC Driver 17 for SQL Server};Server=host;Database=DQG;UID=hermes;PWD=pw"
        ";Encrypt=yes;TrustServerCertificate=no",
    )


@pytest.mark.parametrize("driver", ["", "{ODBC Driver 18 for SQL Server}"])
def test_encryption_and_trust_are_told_to_either_driver(monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    _, told = connection_string(
        monkeypatch, MSSQL_DRIVER=driver, MSSQL_ENCRYPT="no", MSSQL_TRUST_SERVER_CERTIFICATE="yes"
    )
    assert told.endswith(";Encrypt=no;TrustServerCertificate=yes")


@pytest.mark.parametrize("driver", ["", "{ODBC Driver 17 for SQL Server}"])
@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("p@ss:w/o%20rd?#&", "PWD=p@ss:w/o%20rd?#&;"),
        ("pa;ss", "PWD={pa;ss};"),
        ("pa;s}s", "PWD={pa;s}}s};"),
        ("{pass", "PWD={{pass};"),
        ("mật khẩu+1", "PWD=mật khẩu+1;"),
        ("pa=ss", "PWD=pa=ss;"),
    ],
)
def test_a_password_with_special_characters_reaches_the_driver_as_it_is(
    monkeypatch: pytest.MonkeyPatch, driver: str, password: str, told: str
) -> None:
    assert told in connection_string(monkeypatch, MSSQL_DRIVER=driver, MSSQL_PASSWORD=password)[1]


@pytest.mark.parametrize("name", ["MSSQL_DATABASE", "MSSQL_USER", "MSSQL_PASSWORD"])
def test_a_server_without_database_user_or_password_is_refused_naming_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other, value in MSSQL.items():
        if other != name:
            monkeypatch.setenv(other, value)
    message = refusal()
    assert message.startswith(f"{name} is not set. ")
    assert "MSSQL_SERVER" in message


def test_a_database_url_takes_precedence_over_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSSQL_SERVER", "host")
    monkeypatch.setenv("SOURCE_DATABASE_URL", "sqlite:///elsewhere.db")
    assert str(load_settings().database_url) == "sqlite:///elsewhere.db"


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///a b.db", "mssql+pymssql://u:p%40ss@h:1433/DQG", "mssql+pyodbc://u:p@dsn"]
)
def test_any_url_of_sqlite_or_sql_server_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SOURCE_DATABASE_URL", url)
    assert load_settings().database_url.render_as_string(hide_password=False) == url


# --- Redis ----------------------------------------------------------------------------------------

AWKWARD = "p@s:s/w?o#r%d [x] ü+"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"REDIS_HOST": "redis"}, "redis://redis:6379/0"),
        ({"REDIS_HOST": "10.0.0.1", "REDIS_PORT": "6380", "REDIS_DB": "3"}, "redis://10.0.0.1:6380/3"),
        ({"REDIS_HOST": "redis", "REDIS_PASSWORD": "pw"}, "redis://:pw@redis:6379/0"),
        ({"REDIS_HOST": "redis", "REDIS_USERNAME": "u", "REDIS_PASSWORD": "pw"}, "redis://u:pw@redis:6379/0"),
        ({"REDIS_HOST": "::1"}, "redis://[::1]:6379/0"),
        ({"REDIS_HOST": "redis", "REDIS_TLS": "yes"}, "rediss://redis:6379/0?ssl_cert_reqs=required"),
        ({"REDIS_HOST": "redis", "REDIS_URL": "rediss://other:1/2"}, "rediss://other:1/2?ssl_cert_reqs=required"),
        ({"REDIS_URL": "rediss://other:1/2?ssl_cert_reqs=none"}, "rediss://other:1/2?ssl_cert_reqs=none"),
        (
            {"REDIS_HOST": "redis", "REDIS_TLS": "yes", "REDIS_TLS_CA": "/ca.pem", "REDIS_TLS_CERT": "/me.pem"},
            "rediss://redis:6379/0?ssl_cert_reqs=required&ssl_ca_certs=/ca.pem&ssl_certfile=/me.pem",
        ),
        ({"REDIS_SENTINELS": "a, b:1,[::1]:2"}, "sentinel://a:26379/0;sentinel://b:1;sentinel://[::1]:2"),
        (
            {"REDIS_SENTINELS": "a:1,b:2", "REDIS_USERNAME": "u", "REDIS_PASSWORD": "p;w", "REDIS_DB": "3"},
            "sentinel://u:p%3Bw@a:1/3;sentinel://b:2",
        ),
        ({"REDIS_SENTINELS": "a:1", "REDIS_TLS": "yes"}, "sentinel://a:1/0?ssl_cert_reqs=required"),
        ({"REDIS_SENTINELS": "a:1", "REDIS_HOST": "redis"}, "sentinel://a:1/0"),
        ({"REDIS_URL": "redis://:pw@other"}, "redis://:pw@other"),
        ({"REDIS_PORT": "6380", "REDIS_PASSWORD": "pw"}, None),
        ({"REDIS_HOST": "[::1]"}, "redis://[::1]:6379/0"),
    ],
    ids=str,
)
def test_the_broker_address_is_built_from_its_parts(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: str | None
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert load_settings().broker_url == expected


@pytest.mark.parametrize("tls", ["yes", "no"])
@pytest.mark.parametrize("host", ["redis", "2001:db8::1"])
def test_special_characters_in_redis_credentials_are_read_back_by_both_clients(
    monkeypatch: pytest.MonkeyPatch, tls: str, host: str
) -> None:
    """Celery reads the address with kombu, our own check with redis-py."""
    parts = {"REDIS_HOST": host, "REDIS_USERNAME": "ü:@/", "REDIS_PASSWORD": AWKWARD, "REDIS_DB": "5", "REDIS_TLS": tls}
    for name, value in parts.items():
        monkeypatch.setenv(name, value)
    url = load_settings().broker_url
    assert url is not None
    by_kombu, by_redis = url_to_parts(url), parse_url(url)
    assert (by_kombu.username, by_kombu.password, by_kombu.hostname, by_kombu.port) == ("ü:@/", AWKWARD, host, 6379)
    assert by_kombu.path == "5"
    assert (by_redis["username"], by_redis["password"], by_redis["host"], by_redis["db"]) == ("ü:@/", AWKWARD, host, 5)


# --- what belongs together ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"CLAIM_SECONDS": "30"}, "CLAIM_SECONDS (30) is too short"),
        ({"REQUEST_TIMEOUT_SECONDS": "120"}, "CLAIM_SECONDS (120) is too short"),
        ({"BATCH_SIZE": "257"}, "BATCH_SIZE"),
        ({"BATCH_SIZE": "4", "SEND_CONCURRENCY": "1"}, "may take 120 seconds"),
        ({"SCAN_INTERVAL_SECONDS": "300", "REOFFER_SECONDS": "300"}, "SCAN_INTERVAL_SECONDS (300) must be less than"),
        ({"REOFFER_SECONDS": "60"}, "REOFFER_SECONDS (60)"),
    ],
    ids=str,
)
def test_p2_times_that_would_break_a_promise_are_refused_with_their_values(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], named: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert named in refusal()


@pytest.mark.parametrize(
    ("given", "per_batch"),
    [
        ({}, 128),
        ({"CLAIM_SECONDS": "31"}, 64),
        ({"CLAIM_SECONDS": "60"}, 64),
        ({"CLAIM_SECONDS": "61"}, 128),
        ({"CLAIM_SECONDS": "86400"}, 128),
        ({"SEND_CONCURRENCY": "1000"}, 1000),
        ({"SEND_CONCURRENCY": "20"}, 60),
        ({"SEND_CONCURRENCY": "20", "CLAIM_SECONDS": "600"}, 100),
        ({"SEND_CONCURRENCY": "1"}, 3),
        ({"BATCH_SIZE": "256", "CLAIM_SECONDS": "121"}, 256),
        ({"BATCH_SIZE": "1"}, 1),
        ({"REQUEST_TIMEOUT_SECONDS": "119"}, 64),
    ],
    ids=str,
)
def test_p2_a_batch_is_never_larger_than_its_claim_leaves_time_for(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], per_batch: int
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    rounds = -(-settings.documents_per_batch // settings.send_concurrency)
    assert settings.documents_per_batch == per_batch
    assert rounds * settings.request_timeout_seconds < settings.claim_seconds


@pytest.mark.parametrize(("interval", "after"), [("1", 30), ("6", 30), ("7", 35), ("60", 300), ("86400", 432_000)])
def test_a_document_that_nobody_took_up_is_offered_again_after_some_scans(
    monkeypatch: pytest.MonkeyPatch, interval: str, after: int
) -> None:
    monkeypatch.setenv("SCAN_INTERVAL_SECONDS", interval)
    assert load_settings().reoffer_after_seconds == after


def test_the_retry_policy_is_what_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RETRY_SCHEDULE": "1s, 2m", "UNKNOWN_OUTCOME_POLICY": "hold", "DEFER_SECONDS": "7"}.items():
        monkeypatch.setenv(name, value)
    policy = load_settings().retry_policy
    assert policy.schedule == RetrySchedule((timedelta(seconds=1), timedelta(minutes=2)))
    assert (policy.unknown, policy.defer_delay) == (UnknownPolicy.HOLD, timedelta(seconds=7))


def test_what_a_role_needs_is_asked_for_by_name() -> None:
    settings = load_settings(api_username="u")
    settings.require("api_username")
    with pytest.raises(
        ConfigError, match=r"^API_BASE_URL is not set\. Put it into the environment or \.env: an address"
    ):
        settings.require("api_username", "api_base_url", "api_password")


# --- what is shown (P9) ---------------------------------------------------------------------------


def test_p9_every_secret_setting_is_typed_as_one() -> None:
    secret = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
    assert secret == SECRET_NAMES


def test_p9_the_summary_names_every_secret_and_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name.upper(), value)
    settings = load_settings()
    summary = settings.summary()
    assert {name: summary[name.upper()] for name in SECRETS} == dict.fromkeys(SECRETS, "********")
    for shown in (str(summary), repr(settings), str(settings), str(settings.model_dump())):
        assert "geheim" not in shown


ADDRESSES = ["source_database_url", "redis_url", "mongo_uri"]


def password_within(address: str) -> str:
    return address.rpartition("@")[0].rpartition(":")[2]


def test_p9_every_secret_is_known_to_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name.upper(), value)
    within = {password_within(SECRETS[name]) for name in ADDRESSES}
    assert set(load_settings().secrets) == set(SECRETS.values()) | within


@pytest.mark.parametrize("name", ADDRESSES)
def test_p9_the_password_inside_an_address_is_known_to_the_masks(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name.upper(), SECRETS[name])
    assert password_within(SECRETS[name]) in load_settings().secrets


@pytest.mark.parametrize(
    "password",
    [
        "a@b",
        "a#b",
        "a/b",
        "a?b",
        "a[b",
    ],
)
def test_p9_a_database_password_with_signs_of_addresses_is_known_to_the_masks(password: str) -> None:
    """SQLAlchemy takes them as they are: up to the last `@`, all is password."""
    assert password in load_settings(source_database_url=f"mssql+pymssql://sa:{password}@host/DQG").secrets


def test_p9_a_password_that_looks_like_a_broken_address_is_a_secret_like_any_other() -> None:
    assert load_settings(api_password="x://[y").secrets == ("x://[y",)


def test_the_summary_leaves_out_what_is_not_set_and_says_yes_and_no() -> None:
    summary = load_settings().summary()
    assert summary.keys() == {name.upper() for name, value in DEFAULTS.items() if value is not None}
    assert (summary["MSSQL_ENCRYPT"], summary["REDIS_TLS"], summary["LOG_PAYLOADS"]) == ("yes", "no", "masked")


def test_a_secret_is_revealed_only_on_purpose() -> None:
    secret = SecretStr("geheim")
    assert "geheim" not in f"{secret} {secret!r}"
    assert (reveal(secret), reveal(None)) == ("geheim", None)


# --- a process of its own -------------------------------------------------------------------------


def test_a_process_reads_its_settings_once(monkeypatch: pytest.MonkeyPatch) -> None:
    get_settings.cache_clear()
    monkeypatch.setenv("HERMES_LANG", "en")
    try:
        assert get_settings().hermes_lang is Language.EN
        monkeypatch.setenv("HERMES_LANG", "vi")
        assert get_settings().hermes_lang is Language.EN
    finally:
        get_settings.cache_clear()


def test_an_isolated_process_sees_only_the_settings_it_was_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = dict(os.environ)
    monkeypatch.setenv("API_USERNAME", "of-the-machine")
    monkeypatch.setenv("API_PASSWORD_FILE", "/nowhere")
    monkeypatch.setenv("hermes_lang", "en")
    folder = tmp_path / "isolated"
    folder.mkdir()
    try:
        isolate(folder, {"LOG_LEVEL": "DEBUG"})
        settings = get_settings()
        assert (settings.log_level, settings.api_username, settings.api_password) == ("DEBUG", None, None)
        assert settings.hermes_lang is Language.VI
        assert Path.cwd() == folder
        assert dict(os.environ) == before
    finally:
        get_settings.cache_clear()


# ---- the console's address ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_the_console_may_listen_on_this_machine_s_own_addresses(host: str) -> None:
    load_settings(console_host=host).require_safe_console()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.10", "hermes.example.vn"])
def test_the_console_refuses_a_network_over_plain_http_and_names_what_to_set(host: str) -> None:
    with pytest.raises(ConfigError, match=r"CONSOLE_HOST.*CONSOLE_TLS_CERTIFICATE.*CONSOLE_ALLOW_PLAIN_HTTP"):
        load_settings(console_host=host).require_safe_console()
    load_settings(console_host=host, console_allow_plain_http="yes").require_safe_console()
    load_settings(console_host=host, console_tls_certificate="c", console_tls_key="k").require_safe_console()


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="CONSOLE_TLS_KEY belong together"):
        load_settings(console_tls_certificate="c").require_safe_console()


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"console_host": "0.0.0.0", "console_port": 9000}, "http://127.0.0.1:9000"),
        ({"console_host": "::"}, "http://[::1]:8080"),
        ({"console_tls_certificate": "c"}, "https://127.0.0.1:8080"),
        ({"console_public_url": "https://hermes.example.vn/"}, "https://hermes.example.vn"),
    ],
)
def test_the_link_into_the_console_is_one_that_a_browser_can_open(settings: dict[str, Any], url: str) -> None:
    assert load_settings(**settings).console_url == url

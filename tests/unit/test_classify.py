"""From a reply on the wire to an outcome: the whole table, and replies of any shape (P5, P6)."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.clients.classify import LONGEST_NATIONAL_CODE, LONGEST_REASON, Reading, Reply, classify
from app.core.config import Language
from app.documents import ALL_KINDS
from app.domain.errors import ErrorCode, Problem
from app.domain.outcomes import Accepted, Defer, Outcome, Rejected, Retry, Scope, Unknown
from app.partners import PROFILES

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
FIELD = "ma_phieu_nhap_quoc_gia"

HTML = b"<!DOCTYPE html><html><body><h1>B\xe1\xba\xa3o tr\xc3\xac</h1></body></html>"


def as_body(content: Any) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()


def outcome_of(
    status: int,
    content: Any = b"",
    *,
    field: str = FIELD,
    language: Language = Language.EN,
    complete: bool = True,
    headers: dict[str, str] | None = None,
    clean: Callable[[str], str] = str,
) -> Outcome:
    reply = Reply(status, headers or {}, as_body(content), complete)
    return classify(reply, Reading(field, language, NOW, clean))


def code_of(outcome: Outcome) -> ErrorCode | None:
    return None if isinstance(outcome, Accepted) else outcome.problem.code


def message_of(outcome: Outcome) -> str:
    assert not isinstance(outcome, Accepted)
    return outcome.problem.message


# --- statuses -------------------------------------------------------------------------------------

Verdict = tuple[type[Outcome], ErrorCode | None]

REFUSED: Verdict = (Rejected, ErrorCode.REFUSED)
GATEWAY: Verdict = (Unknown, ErrorCode.GATEWAY_ERROR)
FAILED: Verdict = (Retry, ErrorCode.PARTNER_ERROR)
UNAVAILABLE: Verdict = (Defer, ErrorCode.PARTNER_UNAVAILABLE)
CREDENTIALS: Verdict = (Defer, ErrorCode.CREDENTIALS_REFUSED)
WRONG_ADDRESS: Verdict = (Defer, ErrorCode.WRONG_ADDRESS)
SENT_ELSEWHERE: Verdict = (Unknown, ErrorCode.WRONG_ADDRESS)
UNREADABLE: Verdict = (Unknown, ErrorCode.UNREADABLE_REPLY)
DUPLICATE: Verdict = (Accepted, None)

SPECIAL: dict[int, Verdict] = {
    302: SENT_ELSEWHERE,
    303: SENT_ELSEWHERE,
    401: CREDENTIALS,
    403: CREDENTIALS,
    408: UNAVAILABLE,
    409: DUPLICATE,
    425: UNAVAILABLE,
    429: (Defer, ErrorCode.RATE_LIMITED),
    502: GATEWAY,
    503: UNAVAILABLE,
    504: GATEWAY,
}


def expected_of(status: int, *, json_object: bool) -> Verdict:
    """DESIGN's table, read a second time: a line per range, the exceptions above."""
    if status in SPECIAL:
        return SPECIAL[status]
    if status < 300:
        return UNREADABLE
    if status < 400:
        return WRONG_ADDRESS
    if status < 500:
        return WRONG_ADDRESS if status in {404, 405} and not json_object else REFUSED
    return GATEWAY if status >= 520 else FAILED


@pytest.mark.parametrize(
    ("body", "json_object"),
    [
        (b'{"mess":"x"}', True),
        (b"{}", True),
        (b"", False),
        (HTML, False),
        (b"\xff\xfe", False),
        (b"null", False),
        (b"[]", False),
    ],
)
def test_every_status_means_what_the_table_says(body: bytes, json_object: bool) -> None:
    outcomes = {status: outcome_of(status, body) for status in range(200, 600)}
    found = {status: (type(outcome), code_of(outcome)) for status, outcome in outcomes.items()}
    assert found == {status: expected_of(status, json_object=json_object) for status in range(200, 600)}


@pytest.mark.parametrize("status", [100, 101, 199, 300, 301, 304, 305, 307, 308, 399])
def test_a_redirect_is_no_answer_of_the_partner(status: int) -> None:
    outcome = outcome_of(status, headers={"Location": "/dang-nhap"})
    assert (type(outcome), code_of(outcome)) == WRONG_ADDRESS


@pytest.mark.parametrize("status", [302, 303])
@pytest.mark.parametrize("content", [b"", HTML, {FIELD: "QG-1", "code": 200}])
def test_p5_a_redirect_to_another_page_leaves_it_unknown_as_it_may_follow_a_success(status: int, content: Any) -> None:
    outcome = outcome_of(status, content, headers={"Location": "/dang-nhap"})
    assert (type(outcome), code_of(outcome)) == SENT_ELSEWHERE


@pytest.mark.parametrize("status", [401, 403])
def test_p7_refused_credentials_concern_the_facility_alone(status: int) -> None:
    outcome = outcome_of(status, {"mess": "Sai mật khẩu"})
    assert isinstance(outcome, Defer)
    assert outcome.scope is Scope.FACILITY
    assert message_of(outcome) == f"the partner refused the credentials ({status}): Sai mật khẩu"


@pytest.mark.parametrize("status", [301, 404, 408, 425, 429, 503])
def test_p6_every_other_defer_concerns_the_whole_partner(status: int) -> None:
    outcome = outcome_of(status)
    assert isinstance(outcome, Defer)
    assert outcome.scope is Scope.PARTNER


# --- acceptance -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind.name for kind in ALL_KINDS])
@pytest.mark.parametrize("status", [200, 201, 202, 206, 299])
def test_a_national_code_in_a_2xx_is_an_acceptance(kind: str, status: int) -> None:
    field = PROFILES["basic"].endpoints[kind].national_code_field
    assert outcome_of(status, {field: "QG-1"}, field=field) == Accepted("QG-1")
    assert outcome_of(status, "QG-1", field=field) == Accepted("QG-1")


@pytest.mark.parametrize(
    ("content", "national_code"),
    [
        ({FIELD: "QG-1", "code": 200}, "QG-1"),
        ({FIELD: "QG-1", "code": "200", "mess": "Tiếp nhận thành công"}, "QG-1"),
        ({FIELD: "QG-1", "code": " 200 "}, "QG-1"),
        ({FIELD: "QG-1", "code": 201}, "QG-1"),
        ({FIELD: "QG-1", "code": None}, "QG-1"),
        ({FIELD: "  QG-1\n"}, "QG-1"),
        ({FIELD: 12345}, "12345"),
        ({FIELD: 0}, "0"),
        ({FIELD: "mã có dấu"}, "mã có dấu"),
        ({FIELD: "9" * LONGEST_NATIONAL_CODE}, "9" * LONGEST_NATIONAL_CODE),
        ("QG-1", "QG-1"),
        (" QG-1 ", "QG-1"),
        (12345, "12345"),
        (b' \r\n {"ma_phieu_nhap_quoc_gia":"QG-1"} ', "QG-1"),
        (b'{"ma_phieu_nhap_quoc_gia":"\\u0051G-1"}', "QG-1"),
        ({FIELD: "QG-1", "errors": [], "detail": {"a": [1, None, {"b": {}}]}}, "QG-1"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_the_national_code_is_found_in_every_documented_shape(content: Any, national_code: str) -> None:
    assert outcome_of(200, content) == Accepted(national_code)


def test_a_byte_order_mark_does_not_hide_an_acceptance() -> None:
    assert outcome_of(200, b"\xef\xbb\xbf" + as_body({FIELD: "QG-1"})) == Accepted("QG-1")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"   ",
        HTML,
        b"OK",
        b"QG-1",
        b'{"ma_phieu_nhap_quoc_gia":"QG-1"',
        b'{"ma_phieu_nhap_quoc_gia":"\xff\xfe\xc3\x28"}',
        b'"\xff"',
        b'{"a":1}{"ma_phieu_nhap_quoc_gia":"QG-1"}',
        b"NaN",
        b"[" * 100_000,
        {},
        [],
        None,
        True,
        1.5,
        {"ma_phieu_xuat_quoc_gia": "QG-1"},
        {"data": {FIELD: "QG-1"}},
        [{FIELD: "QG-1"}],
        {FIELD: None},
        {FIELD: ""},
        {FIELD: "  "},
        {FIELD: True},
        {FIELD: 1.5},
        {FIELD: ["QG-1"]},
        {FIELD: {"ma": "QG-1"}},
        {FIELD: "QG\x001"},
        {FIELD: "QG\n1"},
        {FIELD: "9" * (LONGEST_NATIONAL_CODE + 1)},
        "",
        "   ",
        {FIELD: "QG-1", "code": "OK"},
        {FIELD: "QG-1", "code": ""},
        {FIELD: "QG-1", "code": True},
        {FIELD: "QG-1", "code": [200]},
        {FIELD: "QG-1", "code": {"code": 200}},
        {FIELD: "QG-1", "code": 0},
        {FIELD: "QG-1", "code": -1},
        {FIELD: "QG-1", "code": 302},
        *({FIELD: "QG-1", "code": code} for code in (600, 999, "999", 20000, 10**30)),
        {FIELD: "QG-1", "code": "20000"},
        {"code": 200},
        {"code": 200, "mess": "Tiếp nhận thành công"},
    ],
    ids=lambda value: repr(value)[:60],
)
def test_p5_a_2xx_without_a_usable_answer_is_unknown(content: Any) -> None:
    outcome = outcome_of(200, content)
    assert (type(outcome), code_of(outcome)) == UNREADABLE


@pytest.mark.parametrize("content", [{FIELD: "QG-1", "code": 200}, "QG-1", b"", HTML])
def test_p5_a_2xx_that_was_cut_or_too_long_is_unknown_even_if_what_came_looks_right(content: Any) -> None:
    outcome = outcome_of(200, content, complete=False)
    assert (type(outcome), code_of(outcome)) == UNREADABLE


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(400, REFUSED), (409, DUPLICATE), (503, UNAVAILABLE), (500, FAILED), (504, GATEWAY)],
)
def test_a_cut_body_does_not_change_what_another_status_says(status: int, verdict: Verdict) -> None:
    outcome = outcome_of(status, b'{"mess":"S\xe1', complete=False)
    assert (type(outcome), code_of(outcome)) == verdict


def test_the_reader_sees_what_came_instead_of_an_answer() -> None:
    message = message_of(outcome_of(200, b"<html>\n  <b>B\xe1\xba\xa3o tr\xc3\xac</b>\x00" + b"x" * 10_000))
    assert message.startswith("the partner's reply is not usable (<html> <b>Bảo trì</b>")
    assert len(message) < 300
    assert message.isprintable()


@pytest.mark.parametrize(
    ("complete", "language", "text"),
    [
        (True, Language.VI, "không đọc được trả lời của đối tác (trả lời rỗng)"),
        (True, Language.EN, "the partner's reply is not usable (an empty reply)"),
        (False, Language.VI, "không đọc được trả lời của đối tác (trả lời bị cắt hoặc quá dài)"),
        (False, Language.EN, "the partner's reply is not usable (the reply was cut or too long)"),
    ],
)
def test_an_empty_or_cut_reply_is_called_so_in_the_readers_language(
    complete: bool, language: Language, text: str
) -> None:
    assert message_of(outcome_of(200, b"", language=language, complete=complete)) == text


# --- code inside a 200 ----------------------------------------------------------------------------

INNER: dict[int, Verdict] = {
    400: REFUSED,
    401: CREDENTIALS,
    403: CREDENTIALS,
    404: REFUSED,
    405: REFUSED,
    408: UNAVAILABLE,
    409: DUPLICATE,
    410: REFUSED,
    422: REFUSED,
    425: UNAVAILABLE,
    429: (Defer, ErrorCode.RATE_LIMITED),
    499: REFUSED,
    500: FAILED,
    501: FAILED,
    502: FAILED,
    503: UNAVAILABLE,
    504: FAILED,
    520: FAILED,
    599: FAILED,
}


@pytest.mark.parametrize(("code", "verdict"), INNER.items())
@pytest.mark.parametrize("written", [int, str, lambda code: f" {code} "], ids=["number", "text", "blanks"])
@pytest.mark.parametrize("national_code", [None, "QG-1"])
def test_another_code_inside_a_200_overrules_it(
    code: int, verdict: Verdict, written: Any, national_code: str | None
) -> None:
    """The partner's own program answered, so even a 502 or 504 in the body is its refusal for now, not silence."""
    content = {"code": written(code), "mess": "lý do", FIELD: national_code}
    outcome = outcome_of(200, content)
    assert (type(outcome), code_of(outcome)) == verdict


@pytest.mark.parametrize(("code", "text"), [(400, "Số lô sai"), (500, "the partner reports an error (500): Số lô sai")])
def test_the_reason_inside_a_200_reaches_the_reader(code: int, text: str) -> None:
    assert message_of(outcome_of(200, {"code": code, "mess": "Số lô sai"})) == text


@pytest.mark.parametrize("status", [400, 409, 500, 503])
def test_the_code_in_the_body_does_not_soften_an_error_status(status: int) -> None:
    outcome = outcome_of(status, {"code": 200, "mess": "x"})
    assert (type(outcome), code_of(outcome)) == expected_of(status, json_object=True)


# --- duplicates -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "national_code"),
    [
        ({"code": 409, "mess": "Mã đã tồn tại", FIELD: "QG-1"}, "QG-1"),
        ({"code": 409, "mess": "Mã đã tồn tại"}, None),
        ({FIELD: ""}, None),
        ({FIELD: "x" * 251}, None),
        (b"", None),
        (HTML, None),
        ([], None),
        ("Phiếu đã tồn tại trên hệ thống", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_p4_what_the_partner_has_already_is_accepted_with_the_national_code_if_it_names_one(
    content: Any, national_code: str | None
) -> None:
    assert outcome_of(409, content) == Accepted(national_code, duplicate=True)


# --- Retry-After ----------------------------------------------------------------------------------

LATER = NOW + timedelta(minutes=10)


@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 503])
@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("0", timedelta(0)),
        ("120", timedelta(minutes=2)),
        (" 120 ", timedelta(minutes=2)),
        ("99999999999999999999", timedelta(seconds=10**8)),
        ("9" * 5000, timedelta(seconds=10**8)),
        (format_datetime(LATER, usegmt=True), timedelta(minutes=10)),
        ("Fri, 20 Nov 2026 15:10:00 +0700", timedelta(minutes=10)),
        ("Friday, 20-Nov-26 08:10:00 GMT", timedelta(minutes=10)),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), timedelta(hours=-1)),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("Fri, 20 Nov 2026 08:10:00", None),
        ("Fri, 31 Feb 2026 08:10:00 GMT", None),
        ("Fri, 20 Nov 99999 08:10:00 GMT", None),
        (",", None),
        ("\ud800", None),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_retry_after_is_understood_as_seconds_or_date_and_else_ignored(
    status: int, value: str, after: timedelta | None
) -> None:
    outcome = outcome_of(status, headers={"retry-AFTER": value})
    assert isinstance(outcome, Defer)
    assert outcome.after == after


def test_a_retry_after_is_looked_for_only_where_it_means_something() -> None:
    assert outcome_of(500, headers={"Retry-After": "120"}) == outcome_of(500)
    assert outcome_of(400, headers={"Retry-After": "120"}) == outcome_of(400)


def test_a_retry_after_with_an_absurd_zone_is_ignored() -> None:
    outcome = outcome_of(503, headers={"Retry-After": "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"})
    assert isinstance(outcome, Defer)
    assert outcome.after is None


# --- what the reader of a refusal sees ------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"mess": "Số lô sai"}, "Số lô sai"),
        ({"message": "Số lô sai"}, "Số lô sai"),
        ({"detail": "Số lô sai"}, "Số lô sai"),
        ({"errors": "Số lô sai"}, "Số lô sai"),
        ({"mess": "một", "message": "hai", "detail": "ba"}, "một"),
        ({"mess": "", "message": None, "detail": "ba"}, "ba"),
        ({"mess": "  ", "message": "hai"}, "hai"),
        ({"mess": "một", "errors": ["a", "b"]}, "một (a; b)"),
        ({"errors": ["a", "b"]}, "a; b"),
        ({"errors": {"so_lo": ["thiếu", "sai"]}}, "so_lo: thiếu; sai"),
        ({"errors": {"so_lo": "thiếu", "don_gia": "âm"}}, "so_lo: thiếu; don_gia: âm"),
        ({"title": "Dữ liệu không hợp lệ", "errors": {"items[0].unit": ["thiếu"]}}, "items[0].unit: thiếu"),
        ({"errors": [{"message": "thiếu số lô"}, {"msg": "sai giá"}]}, "thiếu số lô; sai giá"),
        (
            {"detail": [{"loc": ["body", "items", 0, "unit"], "msg": "field required", "type": "missing"}]},
            "body.items.0.unit: field required",
        ),
        ({"detail": [{"loc": ["a"], "msg": "x"}, {"loc": [], "msg": "y"}, {"msg": "z"}]}, "a: x; y; z"),
        ({"detail": [{"loc": [{"a": 1}, "b", ["c"]], "msg": "x"}]}, "b: x"),
        ({"message": {"vi": "sai", "en": "wrong"}}, "vi: sai; en: wrong"),
        ({"mess": {"mess": {"message": "sâu"}}}, "sâu"),
        ({"mess": 17}, "17"),
        ({"mess": False, "message": "hai"}, "hai"),
        ({"mess": "a\n  b\t c\u00a0d"}, "a b c d"),
        ({"mess": "a\x00\x1b[31mb"}, "a\ufffd\ufffd[31mb"),
        ("Số lô sai", "Số lô sai"),
        (["a", None, {"msg": "b"}], "a; b"),
        (b"S\xe1\xbb\x91 l\xc3\xb4 sai", "Số lô sai"),
        (b"<h1>\n Bad   Request </h1>", "<h1> Bad Request </h1>"),
        ({}, "no reason given"),
        ({"mess": None, "errors": []}, "no reason given"),
        (b"", "no reason given"),
        (None, "no reason given"),
        ({"detail": [{"loc": "unit", "msg": "thiếu"}]}, "unit: thiếu"),
        ({"detail": [{"loc": 5, "msg": "thiếu"}]}, "5: thiếu"),
        ({"detail": [{"loc": True, "msg": "thiếu"}]}, "thiếu"),
    ],
    ids=lambda value: repr(value)[:60],
)
@pytest.mark.parametrize("status", [400, 422])
def test_the_best_of_what_the_partner_says_becomes_one_readable_line(status: int, content: Any, text: str) -> None:
    outcome = outcome_of(status, content)
    assert isinstance(outcome, Rejected)
    assert outcome.problem == Problem(ErrorCode.REFUSED, text)


@pytest.mark.parametrize("content", [{}, b"", None])
def test_no_reason_is_said_in_the_readers_language(content: Any) -> None:
    assert message_of(outcome_of(400, content, language=Language.VI)) == "không nêu lý do"


def test_a_long_reason_is_cut() -> None:
    assert message_of(outcome_of(400, {"mess": "dài " * 5000})) == ("dài " * 5000)[:LONGEST_REASON]
    assert len(message_of(outcome_of(400, {"errors": ["x" * 100] * 100_000}))) == LONGEST_REASON


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (400, {"mess": "x" * (LONGEST_REASON - 5) + " Nguyễn Văn An"}),
        (500, {"errors": ["x" * (LONGEST_REASON - 5), "Nguyễn Văn An"]}),
        (400, b"<p>" + b"x" * 190 + " Nguyễn Văn An</p>".encode()),
        (200, b"<p>" + b"x" * 190 + " Nguyễn Văn An</p>".encode()),
        (200, {"code": "x" * 35 + " Nguyễn Văn An"}),
    ],
    ids=["reason", "errors", "page", "page-200", "code"],
)
def test_p9_what_the_partner_says_is_cleaned_before_it_is_cut(status: int, content: Any) -> None:
    """Half a name would not be recognised any more."""
    message = message_of(outcome_of(status, content, clean=lambda text: text.replace("Nguyễn Văn An", "***")))
    assert "***" in message
    assert "Ng" not in message


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 408, 429, 500, 502, 503])
def test_every_outcome_speaks_the_readers_language(status: int, language: Language) -> None:
    other = Language.EN if language is Language.VI else Language.VI
    message = message_of(outcome_of(status, b"", language=language))
    assert message != message_of(outcome_of(status, b"", language=other))
    assert status in {200, 400} or str(status) in message


# --- anything at all ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mess", "errors"])
def test_a_reason_nested_a_thousand_deep_is_no_crash(name: str) -> None:
    deep = b'{"%s":%s1%s}' % (name.encode(), b"[" * 950, b"]" * 950)
    assert isinstance(outcome_of(400, deep), Rejected)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([FIELD, "code", "mess", "message", "msg", "detail", "errors"]) | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)
locations = st.fixed_dictionaries(
    {"loc": st.lists(st.integers() | st.text(max_size=5), max_size=4), "msg": json_values}
)
answers = st.one_of(
    json_values,
    st.fixed_dictionaries({}, optional=dict.fromkeys(("code", "mess", "detail", "errors", FIELD), json_values)),
    st.fixed_dictionaries({"detail": st.lists(locations, max_size=4)}),
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    answers.map(lambda value: json.dumps(value).encode()),
    answers.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
)
headers = st.dictionaries(
    st.sampled_from(["Retry-After", "retry-after", "Content-Type", "X"]),
    st.one_of(
        st.text(max_size=40),
        st.integers().map(str),
        st.datetimes(timezones=st.just(UTC)).map(lambda moment: format_datetime(moment, usegmt=True)),
    ),
    max_size=3,
)


@settings(deadline=None, max_examples=300)
@given(
    status=st.integers(100, 999),
    body=bodies,
    given_headers=headers,
    complete=st.booleans(),
    language=st.sampled_from(Language),
)
def test_no_reply_raises_and_none_is_an_acceptance_without_the_partner_saying_so(
    status: int, body: bytes, given_headers: dict[str, str], complete: bool, language: Language
) -> None:
    outcome = outcome_of(status, body, headers=given_headers, complete=complete, language=language)
    if isinstance(outcome, Accepted):
        assert 200 <= status < 300 or status == 409
        assert outcome.duplicate or outcome.national_code
        assert outcome.national_code is None or outcome.national_code.isprintable()
    else:
        assert outcome.problem.message
        assert outcome.problem.message.encode()
        assert outcome.problem.message.isprintable()


@pytest.mark.parametrize("code", ["\f", "a\nb", "\x00", "\x1b[31m", "\u202e"], ids=ascii)
def test_a_strange_code_inside_a_200_is_shown_printably(code: str) -> None:
    assert message_of(outcome_of(200, {"code": code})).isprintable()


@settings(deadline=None, max_examples=100)
@given(status=st.integers(200, 299), body=bodies)
def test_p5_a_2xx_that_was_not_read_to_its_end_is_never_an_acceptance(status: int, body: bytes) -> None:
    assert isinstance(outcome_of(status, body, complete=False), Unknown)


@settings(deadline=None, max_examples=100)
@given(status=st.integers(300, 999).filter(lambda status: status != 409), body=bodies)
def test_the_body_never_turns_an_error_status_into_an_acceptance(status: int, body: bytes) -> None:
    assert not isinstance(outcome_of(status, body), Accepted)

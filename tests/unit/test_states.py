"""States, schedule, idempotency key and redaction: the rest of the pure heart (P1, P4, P5, P9)."""

import re
import string
import sys
import unicodedata
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.documents import ALL_KINDS
from app.domain import states
from app.domain.decide import RetryPolicy, Standing, UnknownPolicy, decide
from app.domain.errors import ErrorCode, Problem
from app.domain.kinds import idempotency_key
from app.domain.outcomes import Accepted, Defer, Rejected, Retry, Unknown
from app.domain.redact import MASK, mask_name, mask_names, mask_secrets, printable
from app.domain.retry import RetrySchedule
from app.domain.states import CLOSED, OPEN, SOURCE_STATUS, TO_SEND, SourceStatus, State, Transition

steady = settings(deadline=None)  # a busy machine is no failure

TRANSITIONS = {name: value for name, value in vars(states).items() if isinstance(value, Transition)}


def _settled() -> frozenset[State]:
    """Every state that settling can lead to, asked of the rules themselves."""
    problem = Problem(ErrorCode.REFUSED, "")
    outcomes = (Accepted("1"), Rejected(problem), Retry(problem), Defer(problem), Unknown(problem))
    now = datetime(2026, 11, 20, tzinfo=UTC)
    schedule = RetrySchedule.parse("30s")
    return frozenset(
        decide(Standing(attempts, uncertain), outcome, policy=RetryPolicy(schedule, policy), now=now, chance=0.5).state
        for outcome in outcomes
        for attempts in (0, 1)
        for uncertain in (False, True)
        for policy in UnknownPolicy
    )


SETTLED = _settled()


# --- transitions ----------------------------------------------------------------------------------


def test_the_states_are_those_of_the_ledger() -> None:
    assert [str(state) for state in State] == [
        "queued",
        "sending",
        "waiting",
        "unknown",
        "accepted",
        "rejected",
        "parked",
    ]


def test_every_state_can_be_reached_from_a_newly_found_document() -> None:
    reached, grown = {State.QUEUED}, True
    while grown:
        before = set(reached)
        reached |= {move.target for move in TRANSITIONS.values() if move.sources & reached}
        reached |= SETTLED if State.SENDING in reached else set()
        grown = reached != before
    assert reached == set(State)


@pytest.mark.parametrize("state", State)
def test_p1_no_state_is_a_trap(state: State) -> None:
    ways = [name for name, move in TRANSITIONS.items() if state in move.sources and move.target is not state]
    assert ways


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_p4_a_closed_delivery_is_left_only_by_a_reopened_source_row_or_an_operator(state: State) -> None:
    ways = {name for name, move in TRANSITIONS.items() if state in move.sources}
    assert "REOPEN" in ways
    assert all(name == "REOPEN" or name.startswith("OPERATOR_") for name in ways)


def test_p4_an_accepted_delivery_is_sent_again_only_when_reopened_or_resent_on_purpose() -> None:
    ways = {name for name, move in TRANSITIONS.items() if State.ACCEPTED in move.sources}
    assert ways == {"REOPEN", "OPERATOR_RESEND"}


def test_p2_sending_is_entered_only_by_a_claim_and_left_by_nobody_but_its_holder_or_rescue() -> None:
    entered = {name for name, move in TRANSITIONS.items() if move.target is State.SENDING}
    left = {name for name, move in TRANSITIONS.items() if State.SENDING in move.sources}
    assert entered == {"CLAIM", "TAKE_OVER"}
    assert left == {"RELEASE", "TAKE_OVER"}
    assert states.CLAIM.sources == {State.QUEUED}


def test_open_and_closed_split_the_states() -> None:
    assert set(State) == OPEN | CLOSED
    assert not OPEN & CLOSED


def test_operators_can_move_every_delivery_that_nobody_is_sending() -> None:
    movable = set().union(*(move.sources for name, move in TRANSITIONS.items() if name.startswith("OPERATOR_")))
    assert movable == set(State) - {State.SENDING}


def test_a_new_revision_starts_only_from_an_answer() -> None:
    assert {State.ACCEPTED, State.REJECTED} == states.NEW_REVISION_FROM


def test_the_source_status_is_written_for_exactly_what_can_be_settled() -> None:
    assert set(SOURCE_STATUS) == SETTLED


@pytest.mark.parametrize("state", sorted(SOURCE_STATUS))
def test_p1_the_source_row_asks_for_delivery_exactly_while_the_delivery_is_open(state: State) -> None:
    assert (SOURCE_STATUS[state] in TO_SEND) == (state in OPEN)


def test_the_source_statuses_are_the_numbers_of_the_customers_table() -> None:
    assert {status.name: int(status) for status in SourceStatus} == {
        "NEW": 0,
        "ACCEPTED": 1,
        "RETRY": 2,
        "NEEDS_PERSON": 3,
    }
    assert {state: int(status) for state, status in SOURCE_STATUS.items()} == {
        State.WAITING: 2,
        State.UNKNOWN: 2,
        State.ACCEPTED: 1,
        State.REJECTED: 3,
        State.PARKED: 3,
    }


# --- the retry schedule ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s,2m,10m,1h,6h,24h", (30, 120, 600, 3600, 21_600, 86_400)),
        ("1s", (1,)),
        ("1d", (86_400,)),
        ("31d", (31 * 86_400,)),
        (" 30s , 2m ", (30, 120)),
        ("2m,2m,1s", (120, 120, 1)),
        ("007s", (7,)),
    ],
)
def test_a_readable_schedule_is_understood(text: str, seconds: tuple[int, ...]) -> None:
    assert RetrySchedule.parse(text).delays == tuple(timedelta(seconds=each) for each in seconds)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "''"),
        (" ", "''"),
        (",", "''"),
        ("30s,", "''"),
        ("30", "'30'"),
        ("30x", "'30x'"),
        ("30S", "'30S'"),
        ("0s", "'0s'"),
        ("00m", "'00m'"),
        ("-5s", "'-5s'"),
        ("1.5h", "'1.5h'"),
        ("30 s", "'30 s'"),
        ("30s;2m", "'30s;2m'"),
        ("30s,abc,2m", "'abc'"),
        ("32d", "31 days"),
        ("1s,745h", "31 days"),
    ],
)
def test_a_senseless_schedule_is_refused_saying_which_step(text: str, named: str) -> None:
    with pytest.raises(ValueError) as refused:
        RetrySchedule.parse(text)
    assert named in str(refused.value)


def test_an_absurdly_long_delay_is_refused_like_any_other() -> None:
    with pytest.raises(ValueError):
        RetrySchedule.parse("9999999999999d")


def test_the_schedule_says_how_long_to_wait_after_each_try_until_it_is_used_up() -> None:
    schedule = RetrySchedule.parse("10s,20s")
    waits = [schedule.delay_after(attempts, 0.5) for attempts in (1, 2, 3, 100)]
    assert waits == [timedelta(seconds=10), timedelta(seconds=20), None, None]


@steady
@given(st.text(max_size=30))
def test_a_schedule_of_any_text_is_understood_or_refused(text: str) -> None:
    try:
        delays = RetrySchedule.parse(text).delays
    except ValueError:
        return
    assert all(timedelta(0) < delay <= timedelta(days=31) for delay in delays)


# --- the idempotency key --------------------------------------------------------------------------

KINDS = [kind.name for kind in ALL_KINDS]
any_text = st.text(st.characters(), max_size=60)  # lone surrogates included


@pytest.mark.parametrize(
    ("kind", "code", "revision", "key"),
    [
        ("phieu_nhap", "PN-1", 1, "6177c84d-48e1-5a02-b59e-7766583d6f0c"),
        ("phieu_xuat", "PX-1", 1, "423d3c07-2e6d-528b-9227-a2ffc0b5fa69"),
        ("hoa_don", "HĐ-1", 2, "4fe26143-9132-555f-b83d-4d9f58b45405"),
    ],
)
def test_p4_the_key_of_a_document_is_the_same_for_ever(kind: str, code: str, revision: int, key: str) -> None:
    """A changed key would make the partner take a repeated send for a new document: never change these."""
    assert idempotency_key(kind, code, revision) == key


def test_the_key_differs_by_kind_code_and_revision() -> None:
    keys = {
        idempotency_key(kind, code, revision)
        for kind in KINDS
        for code in ("1", "11", "1\n1", "a", "A", "a ", "ê", unicodedata.normalize("NFD", "ê"))
        for revision in (1, 2, 11, 111)
    }
    assert len(keys) == 3 * 8 * 4


@steady
@given(kind=st.sampled_from(KINDS), code=any_text, revision=st.integers(1, 10**6))
def test_the_key_is_a_plain_uuid_whatever_the_code_contains(kind: str, code: str, revision: int) -> None:
    key = idempotency_key(kind, code, revision)
    assert str(UUID(key)) == key
    assert key.isascii()
    assert key == idempotency_key(kind, code, revision)


@steady
@given(one=any_text, other=any_text)
def test_two_codes_never_share_a_key(one: str, other: str) -> None:
    assume(one != other)
    assert idempotency_key("hoa_don", one, 1) != idempotency_key("hoa_don", other, 1)


def test_a_code_with_half_a_character_has_a_key() -> None:
    assert idempotency_key("hoa_don", "HD\ud83d", 1) != idempotency_key("hoa_don", "HD\udc4d", 1)


# --- names (P9) -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("Nguyễn Văn An", "N*** V*** A***"),
        ("  Đặng   Thị\tThùy  Dương ", "Đ*** T*** T*** D***"),
        ("An", "A***"),
        ("X", "X***"),
        ("", "***"),
        ("   ", "***"),
        ("ông Ân", "ô*** Â***"),
        ("李小龍", "李***"),
    ],
)
def test_p9_a_masked_name_keeps_initials_and_nothing_else(name: str, masked: str) -> None:
    assert mask_name(name) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Khách hàng Nguyễn Văn An không tồn tại", "Khách hàng N*** V*** A*** không tồn tại"),
        ("khách NGUYỄN VĂN AN, nguyễn văn an", "khách N*** V*** A***, N*** V*** A***"),
        ('{"mess":"Nguyễn Văn An"}', '{"mess":"N*** V*** A***"}'),
        ("<b>Nguyễn Văn An</b>", "<b>N*** V*** A***</b>"),
        ("Nguyễn Văn AnNguyễn Văn An", "N*** V*** A***N*** V*** A***"),
        ("Nguyễn Văn Bình", "Nguyễn Văn Bình"),
        ("", ""),
    ],
)
def test_p9_a_name_is_masked_wherever_it_stands_in_a_partners_text(text: str, masked: str) -> None:
    assert mask_names(text, ["Nguyễn Văn An"]) == masked


def test_p9_a_name_within_a_longer_name_does_not_uncover_the_longer_one() -> None:
    names = ["Lê An", "Lê An Nhiên"]
    assert mask_names("Lê An Nhiên và Lê An", names) == "L*** A*** N*** và L*** A***"
    assert mask_names("Lê An Nhiên và Lê An", names[::-1]) == "L*** A*** N*** và L*** A***"


def test_blank_names_mask_nothing() -> None:
    assert mask_names("giữ nguyên câu này", ["", "   ", "\t"]) == "giữ nguyên câu này"


def test_p9_a_name_with_signs_of_regular_expressions_is_masked_literally() -> None:
    assert mask_names("bán cho A.B (C*)", ["A.B (C*)"]) == "bán cho A*** (***"
    assert mask_names("bán cho AxB", ["A.B"]) == "bán cho AxB"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_p9_a_name_is_masked_in_either_unicode_form(form: str) -> None:
    """Vietnamese exists composed and decomposed; partners normalise what sources hold."""
    name = "Nguyễn Thị Hồng Hạnh"
    held = unicodedata.normalize("NFD" if form == "NFC" else "NFC", name)
    masked = mask_names("Sai tên " + unicodedata.normalize(form, name), [held])
    assert unicodedata.normalize("NFC", masked) == "Sai tên N*** T*** H*** H***"


@pytest.mark.parametrize("held", ["Nguyễn  Văn An", "Nguyễn\tVăn An", "Nguyễn\u00a0Văn An"])
def test_p9_a_name_is_masked_whatever_blanks_stand_between_its_words(held: str) -> None:
    """Partners, and our own one-line messages, squeeze the blanks that a source holds."""
    assert mask_names("Khách Nguyễn Văn An", [held]) == "Khách N*** V*** A***"


def test_p9_case_is_ignored_in_any_text() -> None:
    assert mask_names("İstanbul: NGUYỄN VĂN AN", ["Nguyễn Văn An"]) == "İstanbul: N*** V*** A***"


LETTERS = [letter for letter in map(chr, range(sys.maxunicode + 1)) if letter.lower() != letter.upper()]


def test_p9_whatever_letters_a_pattern_takes_for_equal_are_masked() -> None:
    """`mask_names` first compares folded text, for speed: that must not let through what the pattern would find."""
    escaped = [
        (held, written)
        for held in LETTERS
        for written in {held.upper(), held.lower(), held.title(), held.swapcase(), *_equal_to(held)}
        if re.fullmatch(re.escape("Nhi" + held), "Nhi" + written, re.IGNORECASE)
        and "***" not in mask_names(f"Bà Nhi{written}", [f"Nhi{held}"])
    ]
    assert not escaped


def _equal_to(letter: str) -> set[str]:
    return {other for other in "iIİıſKÅµςß" if re.fullmatch(re.escape(letter), other, re.IGNORECASE)}


VIETNAMESE = "aăâbcdđeêghiklmnoôơpqrstuưvxyàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ"
words = st.text(st.sampled_from(VIETNAMESE), min_size=1, max_size=7).map(str.capitalize)
names = st.lists(words, min_size=2, max_size=4).map(" ".join)
surroundings = st.text(st.sampled_from(VIETNAMESE + string.ascii_letters + string.digits + ' .,;:"{}[]<>\\/'))


@steady
@given(name=names, before=surroundings, after=surroundings, change=st.sampled_from([str, str.upper, str.lower]))
def test_p9_no_name_survives_in_any_text(name: str, before: str, after: str, change: type[str]) -> None:
    masked = mask_names(before + change(name) + after, [name])
    assert name.lower() not in masked.lower()
    assert MASK in masked


@steady
@given(people=st.lists(names, min_size=1, max_size=4), parts=st.lists(surroundings, min_size=5, max_size=5))
def test_p9_no_name_of_several_survives(people: list[str], parts: list[str]) -> None:
    text = "".join(part + name for part, name in zip(parts, [*people, ""], strict=False))
    masked = mask_names(text, people).lower()
    assert [name for name in people if name.lower() in masked] == []


@steady
@given(text=st.text(), known=st.lists(st.text(max_size=10), max_size=4))
def test_masking_takes_any_text_and_any_names(text: str, known: list[str]) -> None:
    masked = mask_names(text, known)
    if not any(len(name.strip()) > 1 and name.strip().lower() in text.lower() for name in known):
        assert masked == text


# --- secrets (P9) ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("login failed for hermes/S3cr+t.!", "login failed for hermes/***"),
        ("S3cr+t.!S3cr+t.!", "******"),
        ("s3cr+t.!", "s3cr+t.!"),  # a secret is not a secret in other letters
        ("nothing here", "nothing here"),
    ],
)
def test_p9_a_secret_is_masked_wherever_it_stands(text: str, masked: str) -> None:
    assert mask_secrets(text, ["S3cr+t.!"]) == masked


def test_an_empty_or_one_letter_secret_does_not_eat_the_text() -> None:
    assert mask_secrets("banana", ["", "a"]) == "banana"


@pytest.mark.parametrize("secrets", [["secret-of-redis", "secret"], ["secret", "secret-of-redis"]])
def test_p9_a_secret_within_a_longer_secret_does_not_uncover_the_longer_one(secrets: list[str]) -> None:
    assert mask_secrets("login secret-of-redis refused", secrets) == "login *** refused"


letters = st.text(string.ascii_letters + string.digits, min_size=4, max_size=20)


@steady
@given(secret=letters, before=st.text(max_size=30), after=st.text(max_size=30))
def test_p9_no_secret_survives_in_any_text(secret: str, before: str, after: str) -> None:
    assert secret not in mask_secrets(before + secret + after, [secret])


# --- what can be shown ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Thuốc ho, lô Ω-1 👍", "Thuốc ho, lô Ω-1 👍"),
        ("a\nb\r\nc\td", "a b  c d"),
        ("a\x00b\x1b[31mc\x7f", "a\ufffdb\ufffd[31mc\ufffd"),
        ("a\ud83d b", "a\ufffd b"),
        ("a\u202eb\u200bc\ufeff", "a\ufffdb\ufffdc\ufffd"),
        ("a\u2028b\u3000c", "a b c"),
        ("", ""),
    ],
)
def test_what_trips_terminals_and_databases_is_replaced(text: str, shown: str) -> None:
    assert printable(text) == shown


@steady
@given(any_text)
def test_shown_text_is_printable_storable_and_as_long_as_before(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert len(shown) == len(text)
    assert printable(shown) == shown

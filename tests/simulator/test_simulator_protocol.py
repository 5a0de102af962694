"""What the partner answers when nothing goes wrong on the way: shapes, refusals, duplicates, ledger."""

import asyncio
import re
from typing import Any

import pytest
from conftest import Start
from partner_documents import KINDS, NATIONAL_CODE_FIELDS, as_body, complete, minimal


@pytest.mark.parametrize("kind", KINDS)
async def test_a_right_document_gets_a_national_code(start: Start, kind: str) -> None:
    client = await start()
    answer = await client.send(kind)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert re.fullmatch(r"QG-(PN|PX|HD)-2026-[0-9]{8}", answer.json.pop(NATIONAL_CODE_FIELDS[kind]))


async def test_national_codes_are_unique_over_all_kinds(start: Start) -> None:
    client = await start(reply_shape="bare-string")
    answers = [
        await client.send(kind, code=f"C-{number}", key=f"{kind}-{number}") for kind in KINDS for number in range(5)
    ]
    assert len({answer.json for answer in answers}) == 15


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("shape", "rest"),
    [
        ("object", {"code": 200, "mess": "Tiếp nhận thành công"}),
        ("object-string-code", {"code": "200", "message": "Tiếp nhận thành công"}),
        ("object-no-code", {"message": "Tiếp nhận thành công"}),
    ],
)
async def test_an_acceptance_has_the_chosen_shape(start: Start, kind: str, shape: str, rest: Any) -> None:
    client = await start(reply_shape=shape)
    answer = (await client.send(kind)).json
    assert answer.pop(NATIONAL_CODE_FIELDS[kind]).startswith("QG-")
    assert answer == rest


async def test_cycling_takes_every_shape_in_turn(start: Start) -> None:
    client = await start(reply_shape="cycle")
    answers = [(await client.send(code=f"C-{n}", key=f"k-{n}")).json for n in range(4)]
    assert [answer if isinstance(answer, str) else answer.get("code") for answer in answers] == [
        200,
        "200",
        None,
        "QG-PN-2026-00000004",
    ]


FIRST = "Dòng 1: số lượng (quantity) phải lớn hơn 0"
SECOND = "Thiếu mã cơ sở (facilityCode)"


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("mess", lambda status: {"code": status, "mess": f"{SECOND}; {FIRST}"}),
        ("message", lambda status: {"code": str(status), "message": f"{SECOND}; {FIRST}"}),
        ("detail", lambda status: {"detail": f"{SECOND}; {FIRST}"}),
        (
            "detail-list",
            lambda status: {
                "detail": [
                    {"loc": ["body", "facilityCode"], "msg": SECOND},
                    {"loc": ["body", "items[0].quantity"], "msg": FIRST},
                ]
            },
        ),
        ("errors", lambda status: {"errors": [SECOND, FIRST]}),
        (
            "errors-object",
            lambda status: {
                "title": "Dữ liệu không hợp lệ",
                "status": status,
                "errors": {"facilityCode": [SECOND], "items[0].quantity": [FIRST]},
            },
        ),
    ],
)
async def test_a_refusal_tells_every_fault_in_the_chosen_shape(
    start: Start, status: int, shape: str, body: Any
) -> None:
    client = await start(refusal_shape=shape, refusal_status=status)
    document = complete("phieu_nhap")
    del document["facilityCode"]
    document["items"][0]["quantity"] = 0
    answer = await client.send(document=document)
    assert (answer.status, answer.json) == (status, body(status))
    assert await client.copies() == 0


async def test_refusal_shapes_can_cycle(start: Start) -> None:
    client = await start(refusal_shape="cycle")
    names = [set((await client.send(document=b"{}")).json) for _ in range(7)]
    assert names[0] == names[6] == {"code", "mess"}
    assert names[4] == {"errors"}


async def test_an_unreadable_body_is_refused(start: Start) -> None:
    client = await start()
    answer = await client.send(document=b'{"a": NaN}')
    assert (answer.status, answer.json["mess"]) == (400, "Nội dung JSON có số không hợp lệ (NaN hoặc Infinity)")


@pytest.mark.parametrize(
    "login", [{"username": "khac"}, {"password": "sai"}, {"password": ""}], ids=["user", "password", "empty"]
)
async def test_wrong_credentials_get_401_with_json(start: Start, login: dict[str, Any]) -> None:
    client = await start()
    answer = await client.send(**login)
    assert answer.status == 401
    assert answer.json == {"code": 401, "mess": "Sai tên đăng nhập hoặc mật khẩu"}
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


async def test_no_credentials_get_401(start: Start) -> None:
    client = await start()
    assert (await client.call("POST", "/phieunhap", b"{}")).status == 401


async def test_a_password_may_have_vietnamese_letters(start: Start) -> None:
    client = await start(username="nhà thuốc", password="mật khẩu")
    assert (await client.send(username="nhà thuốc", password="mật khẩu")).status == 200


async def test_documents_of_a_denied_facility_are_answered_401_or_403(start: Start) -> None:
    client = await start(denied_facilities={"CS013": 401, "CS014": 403})
    for facility, status in (("CS013", 401), ("CS014", 403), ("CS015", 200)):
        document = complete("hoa_don", f"HD-{facility}") | {"facilityCode": facility}
        answer = await client.send("hoa_don", document, key=facility)
        assert answer.status == status
    assert (await client.ledger())["totals"]["documents"] == 1


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, "Thiếu header Idempotency-Key"),
        ("", "Thiếu header Idempotency-Key"),
        ("k" * 256, "Idempotency-Key dài 256 ký tự, tối đa 255"),
        ("khóa", "Idempotency-Key chỉ được gồm ký tự ASCII in được"),
    ],
)
async def test_the_idempotency_key_is_required(start: Start, key: str | None, message: str) -> None:
    client = await start()
    answer = await client.send(key=key)
    assert (answer.status, answer.json["mess"]) == (400, message)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ('application/json;charset="UTF-8"', 200),
        ("text/plain", 415),
        ("application/json; charset=latin-1", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_only_utf8_json_is_taken(start: Start, content_type: str, status: int) -> None:
    client = await start()
    assert (await client.send(content_type=content_type)).status == status


async def test_an_oversized_body_is_refused(start: Start) -> None:
    client = await start()
    answer = await client.send(document=as_body({"note": "g" * (16 * 1024 * 1024)}))
    assert (answer.status, answer.json["code"]) == (413, 413)


async def test_other_methods_and_paths_are_answered_in_json(start: Start) -> None:
    client = await start()
    wrong_method = await client.call("GET", "/phieunhap")
    assert (wrong_method.status, wrong_method.headers["Allow"]) == (405, "POST")
    assert (await client.call("POST", "/phieunhap/")).json["code"] == 404
    assert (await client.call("POST", "/_simulator/stats")).json == {"errors": ["allowed here: GET"]}
    assert (await client.stats())["stray_requests"] == 1


class TestDuplicates:
    """Each policy, with the same key again (a retry) and with another key (a revision)."""

    async def twice(self, start: Start, policy: str, second_key: str) -> tuple[Any, Any, Any]:
        client = await start(duplicates=policy, reply_shape="bare-string")
        first, second = await client.send(key="k-1"), await client.send(key=second_key)
        return first, second, (await client.ledger())["totals"]

    @pytest.mark.parametrize("policy", ["key", "same"])
    async def test_a_retry_gets_the_same_answer_and_makes_no_copy(self, start: Start, policy: str) -> None:
        first, second, totals = await self.twice(start, policy, "k-1")
        assert (second.status, second.json) == (200, first.json)
        assert (totals["copies"], totals["repeats"], totals["duplicated_documents"]) == (1, 1, 0)

    async def test_a_revision_is_one_more_copy_and_no_duplicate(self, start: Start) -> None:
        first, second, totals = await self.twice(start, "key", "k-2")
        assert second.json != first.json
        assert totals == {
            "documents": 1,
            "copies": 2,
            "keys": 2,
            "revised_documents": 1,
            "duplicated_documents": 0,
            "repeats": 0,
            "changed_repeats": 0,
        }

    async def test_same_gives_a_revision_the_first_national_code(self, start: Start) -> None:
        first, second, totals = await self.twice(start, "same", "k-2")
        assert (second.status, second.json, totals["copies"]) == (200, first.json, 1)

    @pytest.mark.parametrize("key", ["k-1", "k-2"])
    async def test_conflict_names_the_national_code(self, start: Start, key: str) -> None:
        first, second, totals = await self.twice(start, "conflict", key)
        assert second.status == 409
        assert second.json == {
            "code": 409,
            "mess": "Mã C-1 đã tồn tại trên hệ thống",
            "ma_phieu_nhap_quoc_gia": first.json,
        }
        assert totals["copies"] == 1

    async def test_conflict_bare_does_not(self, start: Start) -> None:
        _, second, _ = await self.twice(start, "conflict-bare", "k-1")
        assert (second.status, set(second.json)) == (409, {"code", "mess"})

    @pytest.mark.parametrize(("key", "duplicated"), [("k-1", 1), ("k-2", 0)])
    async def test_a_naive_partner_records_every_copy(self, start: Start, key: str, duplicated: int) -> None:
        first, second, totals = await self.twice(start, "accept", key)
        assert second.json != first.json
        assert (totals["copies"], totals["duplicated_documents"]) == (2, duplicated)

    async def test_one_code_in_two_kinds_is_two_documents(self, start: Start) -> None:
        client = await start(duplicates="conflict")
        assert (await client.send("phieu_nhap", code="X", key="k-1")).status == 200
        assert (await client.send("phieu_xuat", code="X", key="k-2")).status == 200

    async def test_a_key_used_for_another_document_is_refused(self, start: Start) -> None:
        client = await start()
        await client.send(code="C-1", key="k")
        answer = await client.send(code="C-2", key="k")
        assert (answer.status, answer.json["mess"]) == (400, "Idempotency-Key đã được dùng cho một chứng từ khác")

    async def test_a_retry_whose_content_changed_is_counted(self, start: Start) -> None:
        client = await start()
        await client.send()
        await client.send(document=complete("phieu_nhap", "C-1") | {"note": "khác"})
        totals = (await client.ledger())["totals"]
        assert (totals["copies"], totals["repeats"], totals["changed_repeats"]) == (1, 1, 1)

    async def test_the_same_key_at_the_same_time_makes_one_copy(self, start: Start) -> None:
        client = await start(rules=[{"fault": "latency", "seconds": 0.01, "max_seconds": 0.02}])
        answers = await asyncio.gather(*(client.send() for _ in range(20)))
        assert len({answer.body for answer in answers}) == 1
        assert await client.copies() == 1


class TestLedger:
    async def test_an_entry_shows_keys_copies_and_times(self, start: Start) -> None:
        client = await start()
        for key in ("r1", "r1", "r2"):
            await client.send(key=key)
        (entry,) = (await client.ledger())["documents"]
        assert {name: entry[name] for name in ("kind", "code", "facility", "copies", "duplicated")} == {
            "kind": "phieu_nhap",
            "code": "C-1",
            "facility": "CS001",
            "copies": 2,
            "duplicated": False,
        }
        assert [(key["idempotency_key"], key["copies"], key["repeats"]) for key in entry["keys"]] == [
            ("r1", 1, 1),
            ("r2", 1, 0),
        ]
        (first,) = entry["keys"][0]["accepted"]
        assert set(first) == {"national_code", "payload_sha256", "accepted_at", "last_repeat_at"}
        assert first["accepted_at"] <= first["last_repeat_at"]

    async def test_payloads_are_given_back_digit_by_digit(self, start: Start) -> None:
        client = await start()
        body = as_body(minimal("hoa_don")).replace(b"1250.5", b"1250.50")
        await client.send("hoa_don", body)
        page = await client.call("GET", "/_simulator/ledger?payloads=true")
        assert b'"payload":' + body in page.body

    async def test_pages_follow_each_other_without_gap_or_overlap(self, start: Start) -> None:
        client = await start()
        for kind in KINDS:
            for number in range(5):
                await client.send(kind, code=f"C/{number}", key=f"{kind}{number}")
        seen: list[tuple[str, str]] = []
        after: str | None = ""
        while after is not None:
            page = await client.ledger(f"?limit=4{after and '&after=' + after}")
            assert (page["totals"] is None) == bool(after)
            seen += [(entry["kind"], entry["code"]) for entry in page["documents"]]
            after = page["next_after"]
        assert seen == sorted((kind, f"C/{number}") for kind in KINDS for number in range(5))

    async def test_filters_narrow_documents_and_totals(self, start: Start) -> None:
        client = await start()
        for kind in KINDS:
            for code in ("A", "B"):
                await client.send(kind, code=code, key=f"{kind}{code}")
        for query, count in (("?kind=hoa_don", 2), ("?code=A", 3), ("?kind=hoa_don&code=A", 1), ("?code=Z", 0)):
            page = await client.ledger(query)
            assert len(page["documents"]) == page["totals"]["documents"] == count

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            ("kind=hoadon", "kind must be one of phieu_nhap, phieu_xuat, hoa_don"),
            ("limit=0", "limit must be a whole number from 1 to 10000"),
            ("limit=x", "limit must be a whole number from 1 to 10000"),
            ("payloads=1", "payloads must be true or false"),
            ("codes=1", "unknown parameter codes; allowed: kind, code, after, limit, payloads"),
        ],
    )
    async def test_a_wrong_question_is_told_what_is_allowed(self, start: Start, query: str, error: str) -> None:
        client = await start()
        answer = await client.call("GET", f"/_simulator/ledger?{query}")
        assert (answer.status, answer.json) == (400, {"errors": [error]})


async def test_stats_count_requests_answers_and_results(start: Start) -> None:
    client = await start()
    await client.send()
    await client.send()
    await client.send(document=b"{}")
    await client.send(password="sai")
    stats = await client.stats()
    assert stats.pop("uptime_seconds") >= 0
    assert stats == {
        "in_flight": 0,
        "max_in_flight": 1,
        "requests": {"phieu_nhap": 4, "phieu_xuat": 0, "hoa_don": 0},
        "stray_requests": 0,
        "answers": {"200": 2, "400": 1, "401": 1},
        "results": {"accepted": 1, "refused": 1, "repeated": 1},
        "faults": {},
    }

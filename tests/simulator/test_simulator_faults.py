"""How the partner misbehaves: each fault on a real socket, selectors, scripts, presets."""

import asyncio
import json
import time
from collections import Counter
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest
from conftest import Start
from partner_documents import KINDS, PATHS, complete

from simulator.faults import BadScriptError, FaultScript, Preset, parse_rules, preset_rules, rules_as_json

GONE = (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionResetError)


def script(*rules: dict[str, Any], seed: int = 1, clock: Any = time.monotonic) -> FaultScript:
    return FaultScript(parse_rules(json.dumps(rules)), seed, clock)


def struck(faults: FaultScript, kind: str = "hoa_don", key: str = "k", **document: str) -> str | None:
    """The name of the fault that the next try of this document meets."""
    attempt = faults.begin(kind, key)
    rule = (
        faults.before_read(attempt)
        or faults.after_read(attempt, document.get("code", "HD-1"), document.get("facility", "CS1")).fault
    )
    return rule.fault if rule is not None else None


class TestOnTheWire:
    @pytest.mark.parametrize(
        ("fault", "committed"),
        [
            ({"fault": "cut-before-read"}, 0),
            ({"fault": "cut-before-read", "code": "C-*"}, 0),
            ({"fault": "hang-before-read", "seconds": 0.01}, 0),
            ({"fault": "hang-before-read"}, 0),
            ({"fault": "cut-after-commit"}, 1),
            ({"fault": "hang-after-commit", "seconds": 0.01}, 1),
            ({"fault": "half-body"}, 1),
        ],
    )
    async def test_the_connection_is_lost(self, start: Start, fault: dict[str, Any], committed: int) -> None:
        client = await start(rules=[fault | {"first_tries": 1}], hang_seconds=0.02)
        with pytest.raises(GONE):
            await client.send()
        stats = await client.stats()
        assert (stats["faults"], stats["answers"]) == ({fault["fault"]: 1}, {"dropped": 1})
        assert await client.copies() == committed
        assert (await client.send()).status == 200
        assert await client.copies() == 1

    @pytest.mark.parametrize(
        ("fault", "status", "committed"),
        [
            ({"fault": "html-200"}, 200, 0),
            ({"fault": "html-200", "committed": True}, 200, 1),
            ({"fault": "code-in-200", "code_in_body": 400}, 200, 0),
            ({"fault": "garbage"}, 200, 1),
            ({"fault": "garbage", "committed": False}, 200, 0),
            ({"fault": "empty-200"}, 200, 1),
            ({"fault": "empty-200", "committed": False}, 200, 0),
            ({"fault": "redirect"}, 302, 0),
            ({"fault": "status", "status": 404}, 404, 0),
            ({"fault": "status", "status": 502, "committed": True}, 502, 1),
        ],
    )
    async def test_the_answer_misleads(self, start: Start, fault: dict[str, Any], status: int, committed: int) -> None:
        client = await start(rules=[fault])
        assert (await client.send()).status == status
        assert await client.copies() == committed
        assert (await client.stats())["faults"] == {fault["fault"]: 1}

    async def test_what_the_misleading_answers_look_like(self, start: Start) -> None:
        client = await start(
            rules=[
                {"fault": "html-200", "code": "html"},
                {"fault": "code-in-200", "code": "number"},
                {"fault": "code-in-200", "code": "text", "code_in_body": "400", "mess": "Sai dữ liệu"},
                {"fault": "redirect", "code": "redirect", "location": "/login"},
                {"fault": "empty-200", "code": "empty"},
                {"fault": "garbage", "code": "garbage"},
            ]
        )
        html = await client.send(code="html", key="1")
        assert html.headers["Content-Type"].startswith("text/html")
        assert html.body.startswith(b"<!DOCTYPE html>")
        assert (await client.send(code="number", key="2")).json["code"] == 500
        assert (await client.send(code="text", key="3")).json == {"code": "400", "mess": "Sai dữ liệu"}
        assert (await client.send(code="redirect", key="4")).headers["Location"] == "/login"
        assert (await client.send(code="empty", key="5")).body == b""
        with pytest.raises(UnicodeDecodeError):
            (await client.send(code="garbage", key="6")).body.decode("utf-8")

    @pytest.mark.parametrize(
        ("rule", "body", "content_type"),
        [
            ({"body": {"detail": "Không"}}, b'{"detail":"Kh\xc3\xb4ng"}', "application/json; charset=utf-8"),
            ({"body": "Kh\u00f4ng"}, b"Kh\xc3\xb4ng", "text/plain; charset=utf-8"),
            ({"body": "<p/>", "content_type": "text/html"}, b"<p/>", "text/html"),
        ],
    )
    async def test_a_status_has_any_body(
        self, start: Start, rule: dict[str, Any], body: bytes, content_type: str
    ) -> None:
        client = await start(rules=[{"fault": "status", "status": 400, **rule}])
        answer = await client.send()
        assert (answer.body, answer.headers["Content-Type"]) == (body, content_type)

    async def test_retry_after_is_seconds_or_a_date(self, start: Start) -> None:
        rule = {"fault": "status", "status": 503, "retry_after_seconds": 90}
        client = await start(rules=[{**rule, "kind": "hoa_don"}, {**rule, "retry_after_format": "http-date"}])
        assert (await client.send("hoa_don")).headers["Retry-After"] == "90"
        moment = parsedate_to_datetime((await client.send("phieu_nhap")).headers["Retry-After"])
        assert 80 < moment.timestamp() - time.time() < 100

    async def test_a_slow_body_is_the_true_answer_in_small_pieces(self, start: Start) -> None:
        client = await start(rules=[{"fault": "slow-body", "seconds": 0.1}])
        begun = time.monotonic()
        answer = await client.send()
        assert answer.json["ma_phieu_nhap_quoc_gia"].startswith("QG-PN")
        assert time.monotonic() - begun >= 0.1

    @pytest.mark.parametrize("shape", ["object", "bare-string"])
    async def test_a_huge_body_is_a_valid_answer(self, start: Start, shape: str) -> None:
        client = await start(rules=[{"fault": "huge-body", "megabytes": 3}], reply_shape=shape)
        answer = await client.send()
        assert len(answer.body) > 3 * 1024 * 1024
        national_code = answer.json if shape == "bare-string" else answer.json["ma_phieu_nhap_quoc_gia"]
        assert national_code.startswith("QG-PN")

    async def test_latency_delays_and_lets_other_faults_strike(self, start: Start) -> None:
        client = await start(
            rules=[{"fault": "latency", "seconds": 0.05}, {"fault": "status", "status": 500, "code": "C-2"}]
        )
        begun = time.monotonic()
        assert (await client.send(code="C-1", key="1")).status == 200
        assert (await client.send(code="C-2", key="2")).status == 500
        assert time.monotonic() - begun >= 0.1
        assert (await client.stats())["faults"] == {"latency": 2, "status": 1}

    async def test_a_slow_partner_records_what_its_client_has_given_up(self, start: Start) -> None:
        client = await start(rules=[{"fault": "latency", "seconds": 0.5}])
        with pytest.raises(TimeoutError):
            await client.send(deadline_seconds=0.05)
        assert await client.copies() == 0

        async def recorded() -> bool:
            return await client.copies() == 1

        await client.eventually(recorded)
        assert (await client.stats())["answers"] == {"abandoned": 1}

    async def test_a_hang_ends_when_the_client_leaves(self, start: Start) -> None:
        client = await start(rules=[{"fault": "hang-after-commit", "seconds": 3600}])
        with pytest.raises(TimeoutError):
            await client.send(deadline_seconds=0.05)

        async def nobody_waits() -> bool:
            return bool((await client.stats())["in_flight"] == 0)

        await client.eventually(nobody_waits)
        assert await client.copies() == 1

    async def test_max_in_flight_is_what_the_client_sent_at_once(self, start: Start) -> None:
        client = await start(rules=[{"fault": "latency", "seconds": 0.1}])
        await asyncio.gather(*(client.send(code=f"C-{n}", key=f"{n}") for n in range(7)))
        assert (await client.stats())["max_in_flight"] == 7

    async def test_a_wrong_document_is_refused_rather_than_committed_and_cut(self, start: Start) -> None:
        client = await start(rules=[{"fault": "cut-after-commit"}])
        assert (await client.send(document=b'{"items": []}')).status == 400

    async def test_a_dead_partner_does_not_wait_for_the_body(self, start: Start) -> None:
        client = await start(rules=[{"fault": "cut-before-read"}])
        host, port = client.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /phieunhap HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert await reader.read() == b""
        writer.close()

    async def test_half_a_body_announces_all_of_it(self, start: Start) -> None:
        client = await start(rules=[{"fault": "half-body"}])
        async with client.session.post(
            client.url + PATHS["phieu_nhap"],
            json=complete("phieu_nhap"),
            auth=None,
            headers={"Authorization": "Basic cGFydG5lcjpwYXJ0bmVy", "Idempotency-Key": "k"},
        ) as response:
            assert response.status == 200
            got = await response.content.readany()
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
            assert 0 < len(got) < int(response.headers["Content-Length"])


class TestControl:
    async def test_rules_can_be_replaced_and_removed_while_running(self, start: Start) -> None:
        client = await start()
        rules = [{"fault": "status", "status": 500, "kind": ["hoa_don"], "facility": "CS001"}]
        put = await client.call("PUT", "/_simulator/faults", json.dumps(rules).encode())
        assert put.json == {"rules": rules}
        assert (await client.call("GET", "/_simulator/faults")).json == {"rules": rules}
        assert (await client.send("hoa_don")).status == 500
        assert (await client.call("DELETE", "/_simulator/faults")).json == {"rules": []}
        assert (await client.send("hoa_don")).status == 200

    async def test_a_bad_script_changes_nothing(self, start: Start) -> None:
        client = await start(rules=[{"fault": "status", "status": 500}])
        answer = await client.call("PUT", "/_simulator/faults", b'[{"fault": "empty-200"}, {"fault": "x"}]')
        assert answer.status == 400
        assert answer.json["errors"][0].startswith('Rule 2, field "fault": must be one of latency, status,')
        assert (await client.send()).status == 500


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ("{}", "The script must be a JSON list of rules"),
        ("nonsense", "The script must be a JSON list of rules"),
        ('[{"rate": 1}]', 'Rule 1, field "fault": must be one of latency'),
        ('[{"fault": "status"}]', 'Rule 1 (status), field "status": Field required'),
        (
            '[{"fault": "empty-200"}, {"fault": "status", "status": 200}]',
            'Rule 2 (status), field "status": Input should be greater than or equal to 400, got 200',
        ),
        ('[{"fault": "half-body", "rate": 1.5}]', 'Rule 1 (half-body), field "rate": Input should be less'),
        ('[{"fault": "half-body", "rate": "0.5"}]', "field \"rate\": Input should be a valid number, got '0.5'"),
        ('[{"fault": "half-body", "seconds": 1}]', 'field "seconds": unknown; allowed: fault, rate, kind'),
        ('[{"fault": "half-body", "kind": "hd"}]', "unknown kind 'hd'; allowed: phieu_nhap, phieu_xuat, hoa_don"),
        ('[{"fault": "half-body", "code_regex": "("}]', "not a regular expression"),
        ('[{"fault": "half-body", "code": "a", "code_regex": "a"}]', "give code or code_regex, not both"),
        ('[{"fault": "half-body", "from_seconds": 5, "until_seconds": 5}]', "until_seconds must be greater"),
        ('[{"fault": "latency", "seconds": 2, "max_seconds": 1}]', "max_seconds must not be less than seconds"),
        ('["half-body"]', "Rule 1"),
    ],
)
def test_a_bad_script_is_told_rule_field_and_what_is_allowed(rules: str, problem: str) -> None:
    with pytest.raises(BadScriptError) as caught:
        parse_rules(rules)
    assert problem in str(caught.value)


def test_all_mistakes_of_a_script_are_told_at_once() -> None:
    with pytest.raises(BadScriptError) as caught:
        parse_rules('[{"fault": "status", "status": 1, "rate": 2}, {"fault": "no"}]')
    assert len(caught.value.problems) == 3


class TestSelectors:
    def test_the_first_rule_met_decides(self) -> None:
        faults = script({"fault": "garbage", "kind": "phieu_xuat"}, {"fault": "redirect"}, {"fault": "half-body"})
        assert struck(faults, "phieu_xuat") == "garbage"
        assert struck(faults, "hoa_don") == "redirect"

    @pytest.mark.parametrize(
        ("selector", "met", "spared"),
        [
            ({"code": "HD-2026-*"}, {"code": "HD-2026-7"}, {"code": "PN-2026-7"}),
            ({"code": "[AB]?"}, {"code": "B7"}, {"code": "C7"}),
            ({"code_regex": "HD-[0-9]+"}, {"code": "HD-12"}, {"code": "HD-12x"}),
            ({"facility": "CS1"}, {"facility": "CS1"}, {"facility": "CS10"}),
            ({"facility": ["CS1", "CS2"]}, {"facility": "CS2"}, {"facility": "CS3"}),
            ({"kind": ["hoa_don", "phieu_nhap"]}, {"kind": "hoa_don"}, {"kind": "phieu_xuat"}),
        ],
    )
    @pytest.mark.parametrize("fault", ["cut-before-read", "cut-after-commit"])
    def test_a_selector_meets_what_it_names(
        self, fault: str, selector: dict[str, Any], met: dict[str, str], spared: dict[str, str]
    ) -> None:
        faults = script({"fault": fault, **selector})
        assert struck(faults, **met) == fault
        assert struck(faults, **spared) is None

    def test_only_the_first_tries_of_each_document_are_met(self) -> None:
        faults = script({"fault": "garbage", "first_tries": 2})
        for key in ("a", "b"):
            assert [struck(faults, key=key) for _ in range(4)] == ["garbage", "garbage", None, None]

    def test_time_counts_from_when_the_script_came_into_force(self) -> None:
        now = 1000.0
        faults = script({"fault": "garbage", "from_seconds": 5, "until_seconds": 10}, clock=lambda: now)
        met = []
        for now in (1000.0, 1004.9, 1005.0, 1009.9, 1010.0):  # noqa: B007 - read by the clock
            met.append(struck(faults))
        assert met == [None, None, "garbage", "garbage", None]

    def test_delays_of_several_latencies_add_up(self) -> None:
        faults = script({"fault": "latency", "seconds": 1}, {"fault": "latency", "seconds": 2, "max_seconds": 4})
        delays = [faults.after_read(faults.begin("hoa_don", f"k{n}"), "c", "f").delay for n in range(200)]
        assert 3 <= min(delays) < 3.2
        assert 4.8 < max(delays) <= 5

    def test_rates_are_shares(self) -> None:
        faults = script({"fault": "garbage", "rate": 0.25}, {"fault": "redirect", "rate": 0.5})
        met = Counter(struck(faults, key=f"k{n}") for n in range(8000))
        assert met["garbage"] == pytest.approx(2000, rel=0.1)
        assert met["redirect"] == pytest.approx(3000, rel=0.1)
        assert sum(met.values()) == 8000

    def test_chance_depends_on_seed_and_document_not_on_order(self) -> None:
        rule = {"fault": "garbage", "rate": 0.5}
        keys = [f"k{n}" for n in range(100)]
        forwards, backwards, other = script(rule), script(rule), script(rule, seed=2)
        met = {key: struck(forwards, key=key) for key in keys}
        assert {key: struck(backwards, key=key) for key in reversed(keys)} == met
        assert {key: struck(other, key=key) for key in keys} != met


class TestPresets:
    @pytest.mark.parametrize("preset", list(Preset))
    def test_a_preset_is_a_script_that_can_be_read_back(self, preset: Preset) -> None:
        rules = preset_rules(preset)
        assert parse_rules(json.dumps(rules_as_json(rules))) == rules

    @pytest.mark.parametrize(("preset", "low", "high", "tries"), [("some", 0.09, 0.16, 3), ("storm", 0.4, 0.6, 4)])
    def test_the_share_of_bad_tries_is_as_told_and_every_document_gets_through(
        self, preset: str, low: float, high: float, tries: int
    ) -> None:
        faults = FaultScript(preset_rules(Preset(preset)), 1)
        first = [struck(faults, key=f"k{n}") for n in range(3000)]
        assert low < sum(fault is not None for fault in first) / 3000 < high
        for _ in range(tries - 1):
            for n in range(3000):
                struck(faults, key=f"k{n}")
        assert {struck(faults, key=f"k{n}") for n in range(3000)} == {None}

    def test_no_preset_ever_refuses_a_document_for_good(self) -> None:
        for preset in Preset:
            for rule in rules_as_json(preset_rules(preset)):
                status = rule.get("status", rule.get("code_in_body", 500))
                assert int(status) == 429 or int(status) >= 500
                assert rule["fault"] != "redirect"

    @pytest.mark.parametrize("kind", KINDS)
    async def test_in_a_storm_retries_bring_every_document_through_once(self, start: Start, kind: str) -> None:
        rules = [
            rule for rule in rules_as_json(preset_rules(Preset.STORM)) if rule["fault"] not in ("latency", "slow-body")
        ]
        client = await start(rules=rules, hang_seconds=0.01)

        async def until_accepted(number: int) -> int:
            for count in range(1, 6):
                try:
                    answer = await client.send(kind, code=f"C-{number}", key=f"k-{number}")
                except GONE:
                    continue
                if answer.status == 200 and answer.body.startswith(b"{") and b'"code":200' in answer.body:
                    return count
            raise AssertionError(f"document {number} did not get through")

        await asyncio.gather(*(until_accepted(number) for number in range(60)))
        totals = (await client.ledger())["totals"]
        assert (totals["documents"], totals["copies"], totals["duplicated_documents"]) == (60, 60, 0)
        assert totals["repeats"] > 0

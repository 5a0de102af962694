"""What the partner takes for a document, field by field."""

from decimal import Decimal
from typing import Any

import pytest
from partner_documents import KINDS, REQUIRED_HEADER, REQUIRED_LINE, as_body, complete, minimal

from simulator.routes import ROUTES
from simulator.validation import UnreadableError, find_faults, payload_sha256, read_document

ROUTE = {route.kind: route for route in ROUTES}

TEXT_LENGTHS = [
    ("phieu_nhap", "invoiceCode", 50),
    ("phieu_nhap", "facilityCode", 50),
    ("phieu_nhap", "supplierName", 255),
    ("phieu_xuat", "recipientName", 255),
    ("hoa_don", "billCode", 50),
    ("hoa_don", "prescriptionCode", 250),
    ("hoa_don", "sellerName", 255),
    ("hoa_don", "customerName", 255),
]
LINE_LENGTHS = [
    *[(kind, name, 50) for kind in KINDS for name in ("medicineCode", "batchNumber", "registrationNumber", "unit")],
    ("phieu_nhap", "medicineName", 255),
    ("phieu_xuat", "medicineName", 255),
    ("hoa_don", "medicineName", 500),
    ("hoa_don", "strength", 100),
    ("hoa_don", "route", 100),
    ("hoa_don", "dosage", 255),
]


def faults(kind: str, document: Any) -> dict[str, str]:
    """Messages by field, of a document that went through JSON as it would on the wire."""
    found = find_faults(ROUTE[kind].header, ROUTE[kind].line, read_document(as_body(document)))
    return {fault.field: fault.message for fault in found}


def with_line(kind: str, **values: Any) -> dict[str, Any]:
    document = complete(kind)
    document["items"][0].update(values)
    return document


def with_raw(kind: str, name: str, literal: str) -> bytes:
    """The JSON text with one line field written exactly as ``literal``."""
    return as_body(with_line(kind, **{name: "@"})).replace(b'"@"', literal.encode())


def line_fault(body: bytes, kind: str, name: str) -> str | None:
    found = find_faults(ROUTE[kind].header, ROUTE[kind].line, read_document(body))
    return {fault.field: fault.message for fault in found}.get(f"items[0].{name}")


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_a_document_with_every_field_is_right(self, kind: str) -> None:
        assert faults(kind, complete(kind)) == {}

    def test_a_document_with_only_the_required_fields_is_right(self, kind: str) -> None:
        assert faults(kind, minimal(kind)) == {}

    def test_every_required_field_is_missed_by_name(self, kind: str) -> None:
        assert set(faults(kind, {"items": [{}]})) == {
            *REQUIRED_HEADER[kind],
            *(f"items[0].{name}" for name in REQUIRED_LINE),
        }

    def test_nothing_may_be_null_or_empty(self, kind: str) -> None:
        for nothing in (None, "", "  "):
            document: dict[str, Any] = dict.fromkeys(complete(kind), nothing)
            document["items"] = [dict.fromkeys(complete(kind)["items"][0], nothing)]
            expected = {name for name in document if name != "items"}
            expected |= {f"items[0].{name}" for name in document["items"][0]}
            assert set(faults(kind, document)) == expected

    def test_unknown_fields_are_refused_in_header_and_line(self, kind: str) -> None:
        document = with_line(kind, colour="đỏ") | {"shopCode": 7}
        assert faults(kind, document) == {
            "shopCode": 'Không có trường nào tên là "shopCode"',
            "items[0].colour": 'Dòng 1: không có trường nào tên là "colour"',
        }

    @pytest.mark.parametrize("items", [[], None, {}, "x", 3])
    def test_there_must_be_at_least_one_line(self, kind: str, items: Any) -> None:
        assert set(faults(kind, complete(kind) | {"items": items})) == {"items"}

    def test_a_line_must_be_an_object(self, kind: str) -> None:
        document = complete(kind)
        document["items"].append("T002")
        assert faults(kind, document) == {"items[1]": "Dòng 2: phải là một đối tượng JSON"}

    @pytest.mark.parametrize("quantity", [0, -1, 2.0, 2.5, "2", True, 2**31])
    def test_quantity_is_a_positive_32_bit_integer(self, kind: str, quantity: Any) -> None:
        assert set(faults(kind, with_line(kind, quantity=quantity))) == {"items[0].quantity"}

    @pytest.mark.parametrize("literal", ["0", "0.5", "12.50", "9999999999999999.99", "1E3"])
    def test_a_price_is_an_exact_number(self, kind: str, literal: str) -> None:
        assert line_fault(with_raw(kind, "unitPrice", literal), kind, "unitPrice") is None

    @pytest.mark.parametrize(
        "literal", ["-0.01", "-1", '"12.50"', "true", "0.1250", "1250.4999999999", "1E17", "10000000000000000"]
    )
    def test_a_price_with_any_doubt_is_refused(self, kind: str, literal: str) -> None:
        assert line_fault(with_raw(kind, "unitPrice", literal), kind, "unitPrice") is not None

    @pytest.mark.parametrize(
        "date", ["20270131", "2027-1-31", "2027-02-30", "31/01/2027", "2027-01-31T00:00:00", "2027-W04-7", 20270131]
    )
    def test_a_date_has_one_form_only(self, kind: str, date: Any) -> None:
        assert set(faults(kind, with_line(kind, expiryDate=date))) == {"items[0].expiryDate"}

    def test_expiry_is_not_before_manufacture(self, kind: str) -> None:
        same_day = with_line(kind, manufactureDate="2026-01-01", expiryDate="2026-01-01")
        assert faults(kind, same_day) == {}
        earlier = with_line(kind, manufactureDate="2026-01-02", expiryDate="2026-01-01")
        assert faults(kind, earlier) == {
            "items[0].expiryDate": "Dòng 1: hạn dùng (expiryDate) trước ngày sản xuất (manufactureDate)"
        }

    def test_all_faults_of_all_lines_are_told_at_once(self, kind: str) -> None:
        document = complete(kind)
        second = {**document["items"][0], "quantity": 0}
        del second["batchNumber"]
        document["items"].append(second)
        document["facilityCode"] = 17
        assert faults(kind, document) == {
            "facilityCode": "Mã cơ sở (facilityCode) phải là chuỗi ký tự",
            "items[1].batchNumber": "Dòng 2: thiếu số lô (batchNumber)",
            "items[1].quantity": "Dòng 2: số lượng (quantity) phải lớn hơn 0",
        }


@pytest.mark.parametrize(("kind", "name", "limit"), TEXT_LENGTHS)
def test_header_texts_are_as_long_as_their_column(kind: str, name: str, limit: int) -> None:
    assert faults(kind, complete(kind) | {name: "ữ" * limit}) == {}
    assert set(faults(kind, complete(kind) | {name: "ữ" * (limit + 1)})) == {name}


@pytest.mark.parametrize(("kind", "name", "limit"), LINE_LENGTHS)
def test_line_texts_are_as_long_as_their_column(kind: str, name: str, limit: int) -> None:
    assert faults(kind, with_line(kind, **{name: "ữ" * limit})) == {}
    assert set(faults(kind, with_line(kind, **{name: "ữ" * (limit + 1)}))) == {f"items[0].{name}"}


@pytest.mark.parametrize("kind", ["phieu_nhap", "phieu_xuat"])
def test_a_note_may_be_long(kind: str) -> None:
    assert faults(kind, complete(kind) | {"note": "g" * 100_000}) == {}


@pytest.mark.parametrize(
    "moment",
    [
        "2026-03-01",
        "2026-03-01 08:30:00",
        "2026-03-01T08:30",
        "2026-03-01T08:30:00Z",
        "2026-03-01T08:30:00.000",
        "2026-03-01T08:30:00+07:00",
        "2026-03-01T24:00:00",
        "2026-02-29T08:30:00",
        1772328600,
    ],
)
def test_import_date_is_a_local_moment_to_the_second(moment: Any) -> None:
    assert set(faults("phieu_nhap", complete("phieu_nhap") | {"importDate": moment})) == {"importDate"}


def test_conversion_ratio_has_four_decimals_at_most() -> None:
    assert line_fault(with_raw("hoa_don", "conversionRatio", "0.1250"), "hoa_don", "conversionRatio") is None
    assert line_fault(with_raw("hoa_don", "conversionRatio", "0.12501"), "hoa_don", "conversionRatio")


def test_an_issue_has_no_amount() -> None:
    assert set(faults("phieu_xuat", with_line("phieu_xuat", amount=1))) == {"items[0].amount"}


def test_messages_never_repeat_a_value() -> None:
    document = complete("hoa_don") | {"customerName": "Nguyễn Văn Kín" * 30, "sellerName": ["Lê Thị Mật"]}
    told = " ".join(faults("hoa_don", document).values())
    assert "customerName" in told
    assert "sellerName" in told
    assert "Kín" not in told
    assert "Mật" not in told


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "không phải JSON"),
        (b"{", "không phải JSON"),
        (b"[]", "đối tượng JSON"),
        (b'"x"', "đối tượng JSON"),
        (b'{"a":1,"a":2}', "bị lặp lại"),
        (b'{"a":NaN}', "số không hợp lệ"),
        (b'{"a":-Infinity}', "số không hợp lệ"),
        (b'{"a":1e99999}', "ngoài phạm vi"),
        (b'{"a":1e99999999999999999999999}', "không phải JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", "không phải JSON"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"a":"\\ud800"}', "UTF-8"),
        (b"[" * 100_000, "không phải JSON"),
        (b'\xef\xbb\xbf{"a":1}', "không phải JSON"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_an_unreadable_body_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read_document(body)


def test_numbers_are_read_exactly() -> None:
    assert read_document(b'{"a":0.10,"b":12345678901234567.89,"c":7}') == {
        "a": Decimal("0.10"),
        "b": Decimal("12345678901234567.89"),
        "c": 7,
    }


def test_the_fingerprint_is_of_the_content_not_of_its_spelling() -> None:
    one = read_document('{"a": 12.50, "b": 3.0, "c": "Viên"}'.encode())
    other = read_document(b'{"c":"Vi\\u00ean","b":3,"a":12.5}')
    changed = read_document('{"a": 12.51, "b": 3.0, "c": "Viên"}'.encode())
    assert payload_sha256(one) == payload_sha256(other)
    assert payload_sha256(one) != payload_sha256(changed)

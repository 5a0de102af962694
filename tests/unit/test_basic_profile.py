"""What the default profile puts on the wire, what it refuses and in which words (P7, P9).

The field tables are written out here a second time, and the simulator's own validation is asked as a third reading.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.demo.sample_data import DEFECTS, SampleDocument, generate
from app.documents import ALL_KINDS, KINDS, DocumentKind
from app.domain.kinds import Document
from app.partners import PROFILES, Fault, Invalid, Prepared
from simulator.routes import ROUTES
from simulator.validation import find_faults, read_document

ENDPOINTS = PROFILES["basic"].endpoints
TODAY = date(2026, 11, 20)
KIND_NAMES = [kind.name for kind in ALL_KINDS]
steady = settings(deadline=None)  # a busy machine is no failure

CUSTOMER, SELLER = "Nguyễn Văn An", "Trần Thị Bình"

HEADERS: dict[str, dict[str, Any]] = {
    "phieu_nhap": {
        "ma_phieu": "PN-1",
        "ma_phieu_nhap_quoc_gia": "cũ",
        "ma_co_so": "CS01",
        "ngay_nhap": datetime(2026, 11, 19, 8, 5, 9, 997000),  # noqa: DTZ001  the source holds naive local times
        "loai_phieu_nhap": 1,
        "ghi_chu": "Hàng gấp",
        "ten_co_so_cung_cap": "Công ty Dược Nam Phương",
        "dateinsert": datetime(2026, 11, 19, 8, 6),  # noqa: DTZ001
        "status_phieu": 0,
        "note_log": None,
    },
    "phieu_xuat": {
        "ma_phieu": "PX-1",
        "ma_phieu_xuat_quoc_gia": "cũ",
        "ma_co_so": "CS01",
        "shop_code": 12,
        "ngay_xuat": date(2026, 11, 19),
        "loai_phieu_xuat": 2,
        "ghi_chu": "Điều chuyển",
        "ten_co_so_nhan": "Nhà thuốc số 27",
        "dateinsert": datetime(2026, 11, 19, 8, 6),  # noqa: DTZ001
        "status_phieu": 0,
        "note_log": None,
    },
    "hoa_don": {
        "ma_hoa_don": "HD-1",
        "ma_hoa_don_quoc_gia": "cũ",
        "ma_co_so": "CS01",
        "ma_don_thuoc_quoc_gia": "DT-77",
        "ngay_ban": date(2026, 11, 19),
        "ho_ten_khach_hang": CUSTOMER,
        "ho_ten_nguoi_ban": SELLER,
        "status_phieu": 0,
        "note_log": None,
    },
}
_MEDICINE = {
    "ma_thuoc": "T-1",
    "ten_thuoc": "Paracetamol 500 mg",
    "so_lo": "L-1",
    "ngay_san_xuat": date(2025, 1, 31),
    "han_dung": date(2028, 1, 31),
    "so_luong": 3,
    "don_gia": Decimal("1500.50"),
    "don_vi_tinh": "Hộp",
}
LINES: dict[str, dict[str, Any]] = {
    "phieu_nhap": {**_MEDICINE, "id": 7, "so_dklh": "VD-1", "thanh_tien": Decimal("4501.50")},
    "phieu_xuat": {**_MEDICINE, "id": 7, "so_dklh": "VD-1"},
    "hoa_don": {
        **_MEDICINE,
        "id": 7,
        "so_dang_ky": "VD-1",
        "ham_luong": "500 mg",
        "duong_dung": "Uống",
        "lieu_dung": "Ngày 2 lần",
        "thanh_tien": Decimal("4501.50"),
        "ty_le_quy_doi": Decimal("0.1000"),
    },
}
_WIRE_MEDICINE = {
    "medicineCode": "T-1",
    "medicineName": "Paracetamol 500 mg",
    "batchNumber": "L-1",
    "manufactureDate": "2025-01-31",
    "expiryDate": "2028-01-31",
    "registrationNumber": "VD-1",
    "quantity": 3,
    "unitPrice": Decimal("1500.50"),
    "unit": "Hộp",
}
WIRE: dict[str, dict[str, Any]] = {
    "phieu_nhap": {
        "invoiceCode": "PN-1",
        "facilityCode": "CS01",
        "importDate": "2026-11-19T08:05:09",
        "importType": 1,
        "supplierName": "Công ty Dược Nam Phương",
        "note": "Hàng gấp",
        "items": [{**_WIRE_MEDICINE, "amount": Decimal("4501.50")}],
    },
    "phieu_xuat": {
        "invoiceCode": "PX-1",
        "facilityCode": "CS01",
        "exportDate": "2026-11-19",
        "exportType": 2,
        "recipientName": "Nhà thuốc số 27",
        "note": "Điều chuyển",
        "items": [_WIRE_MEDICINE],
    },
    "hoa_don": {
        "billCode": "HD-1",
        "facilityCode": "CS01",
        "saleDate": "2026-11-19",
        "prescriptionCode": "DT-77",
        "sellerName": SELLER,
        "customerName": CUSTOMER,
        "items": [
            {
                **_WIRE_MEDICINE,
                "strength": "500 mg",
                "route": "Uống",
                "dosage": "Ngày 2 lần",
                "amount": Decimal("4501.50"),
                "conversionRatio": Decimal("0.1000"),
            }
        ],
    },
}
# Source column of every optional field → its name on the wire.
OPTIONAL_IN_HEADER: dict[str, dict[str, str]] = {
    "phieu_nhap": {"ten_co_so_cung_cap": "supplierName", "ghi_chu": "note"},
    "phieu_xuat": {"ten_co_so_nhan": "recipientName", "ghi_chu": "note"},
    "hoa_don": {
        "ma_don_thuoc_quoc_gia": "prescriptionCode",
        "ho_ten_nguoi_ban": "sellerName",
        "ho_ten_khach_hang": "customerName",
    },
}
OPTIONAL_IN_LINE: dict[str, dict[str, str]] = {
    "phieu_nhap": {"ngay_san_xuat": "manufactureDate", "so_dklh": "registrationNumber", "thanh_tien": "amount"},
    "phieu_xuat": {"ngay_san_xuat": "manufactureDate", "so_dklh": "registrationNumber"},
    "hoa_don": {
        "ngay_san_xuat": "manufactureDate",
        "so_dang_ky": "registrationNumber",
        "ham_luong": "strength",
        "duong_dung": "route",
        "lieu_dung": "dosage",
        "thanh_tien": "amount",
        "ty_le_quy_doi": "conversionRatio",
    },
}
LABELS: dict[str, dict[str, str]] = {
    "phieu_nhap": {
        "ma_phieu": "Thiếu mã phiếu",
        "ma_co_so": "Thiếu mã cơ sở",
        "ngay_nhap": "Thiếu ngày nhập",
        "loai_phieu_nhap": "Thiếu loại phiếu nhập",
    },
    "phieu_xuat": {
        "ma_phieu": "Thiếu mã phiếu",
        "ma_co_so": "Thiếu mã cơ sở",
        "ngay_xuat": "Thiếu ngày xuất",
        "loai_phieu_xuat": "Thiếu loại phiếu xuất",
    },
    "hoa_don": {"ma_hoa_don": "Thiếu mã hóa đơn", "ma_co_so": "Thiếu mã cơ sở", "ngay_ban": "Thiếu ngày bán"},
}
LINE_LABELS = {
    "ma_thuoc": "Dòng 1: thiếu mã thuốc",
    "ten_thuoc": "Dòng 1: thiếu tên thuốc",
    "so_lo": "Dòng 1: thiếu số lô",
    "han_dung": "Dòng 1: thiếu hạn dùng",
    "so_luong": "Dòng 1: thiếu số lượng",
    "don_gia": "Dòng 1: thiếu đơn giá",
    "don_vi_tinh": "Dòng 1: thiếu đơn vị tính",
}
TEXT_COLUMNS = {"ma_phieu", "ma_hoa_don", "ma_co_so", "ma_thuoc", "ten_thuoc", "so_lo", "don_vi_tinh"}
BLANKS = ["", " ", "\t\n", "\u00a0\u3000"]


def prepare(
    kind: str,
    header: Mapping[str, Any] | None = None,
    line: Mapping[str, Any] | None = None,
    lines: list[dict[str, Any]] | None = None,
) -> Prepared | Invalid:
    """The complete document of the kind, with these columns changed."""
    rows = [{**LINES[kind], **(line or {})}] if lines is None else lines
    return ENDPOINTS[kind].prepare(Document(kind, "code", {**HEADERS[kind], **(header or {})}, rows))


def sent(
    kind: str,
    header: Mapping[str, Any] | None = None,
    line: Mapping[str, Any] | None = None,
    lines: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """What the partner reads, numbers exact."""
    prepared = prepare(kind, header, line, lines)
    assert isinstance(prepared, Prepared), prepared
    return read(prepared.body)


def read(body: bytes | str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(body, parse_float=Decimal)
    return document


def refused(
    kind: str,
    header: Mapping[str, Any] | None = None,
    line: Mapping[str, Any] | None = None,
    lines: list[dict[str, Any]] | None = None,
) -> str:
    """The sentences about a document that must not be sent."""
    invalid = prepare(kind, header, line, lines)
    assert isinstance(invalid, Invalid), invalid
    return invalid.message


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


# --- the whole payload ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_complete_document_is_sent_field_by_field(kind: str) -> None:
    prepared = prepare(kind)
    assert isinstance(prepared, Prepared)
    assert read(prepared.body) == WIRE[kind]


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_numbers_are_written_with_the_decimals_of_the_source(kind: str) -> None:
    prepared = prepare(kind)
    assert isinstance(prepared, Prepared)
    assert b'"unitPrice":1500.50' in prepared.body
    if kind == "hoa_don":
        assert b'"conversionRatio":0.1000' in prepared.body


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_letters_are_sent_as_utf8_and_the_fingerprint_is_that_of_the_body(kind: str) -> None:
    prepared = prepare(kind)
    assert isinstance(prepared, Prepared)
    assert '"unit":"Hộp"'.encode() in prepared.body
    assert prepared.sha256 == hashlib.sha256(prepared.body).hexdigest()


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_the_same_rows_make_the_same_body(kind: str) -> None:
    one, other = prepare(kind), prepare(kind)
    assert isinstance(one, Prepared)
    assert isinstance(other, Prepared)
    assert (one.body, one.sha256) == (other.body, other.sha256)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_each_kind_goes_to_its_own_path_and_reads_its_own_national_code(kind: str) -> None:
    route = next(route for route in ROUTES if route.kind == kind)
    endpoint = ENDPOINTS[kind]
    assert (endpoint.method, "/" + endpoint.path, endpoint.national_code_field) == (
        "POST",
        route.path,
        route.national_code_field,
    )


def test_lines_keep_their_order() -> None:
    lines = [{**LINES["hoa_don"], "so_lo": f"L-{number}"} for number in range(50)]
    items = sent("hoa_don", lines=lines)["items"]
    assert [item["batchNumber"] for item in items] == [f"L-{number}" for number in range(50)]


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)
def test_nothing_of_the_source_is_dropped_but_what_hermes_itself_needs(kind: DocumentKind) -> None:
    """Every column of the two tables is asked for by the payload, or is named here as not the partner's business."""
    ours = {kind.national_code_column, "status_phieu", "note_log", "dateinsert", "shop_code"}
    columns = set(kind.header.c.keys()) - ours
    assert columns == set(HEADERS[kind.name]) - ours
    lines = set(kind.lines.c.keys()) - {"id", kind.code_column}
    assert lines == set(LINES[kind.name]) - {"id"}
    assert len(columns) + 1 == len(WIRE[kind.name])
    assert len(lines) == len(WIRE[kind.name]["items"][0])


# --- what is absent is omitted --------------------------------------------------------------------

HEADER_OPTIONALS = [(kind, column) for kind in KIND_NAMES for column in OPTIONAL_IN_HEADER[kind]]
LINE_OPTIONALS = [(kind, column) for kind in KIND_NAMES for column in OPTIONAL_IN_LINE[kind]]


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_with_every_optional_null_only_the_required_is_sent(kind: str) -> None:
    document = sent(kind, dict.fromkeys(OPTIONAL_IN_HEADER[kind]), dict.fromkeys(OPTIONAL_IN_LINE[kind]))
    assert document == {
        **without(WIRE[kind], *OPTIONAL_IN_HEADER[kind].values()),
        "items": [without(WIRE[kind]["items"][0], *OPTIONAL_IN_LINE[kind].values())],
    }


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_columns_that_the_source_lacks_altogether_are_omitted(kind: str) -> None:
    header = without(HEADERS[kind], *OPTIONAL_IN_HEADER[kind])
    line = without(LINES[kind], *OPTIONAL_IN_LINE[kind])
    prepared = ENDPOINTS[kind].prepare(Document(kind, "code", header, [line]))
    assert isinstance(prepared, Prepared)
    assert b"null" not in prepared.body


@pytest.mark.parametrize(("kind", "column"), HEADER_OPTIONALS)
@pytest.mark.parametrize("blank", [None, *BLANKS], ids=repr)
def test_one_absent_optional_of_the_header_is_omitted_and_nothing_else(
    kind: str, column: str, blank: str | None
) -> None:
    assert sent(kind, {column: blank}) == without(WIRE[kind], OPTIONAL_IN_HEADER[kind][column])


@pytest.mark.parametrize(("kind", "column"), LINE_OPTIONALS)
def test_one_absent_optional_of_a_line_is_omitted_and_nothing_else(kind: str, column: str) -> None:
    assert sent(kind, line={column: None})["items"] == [without(WIRE[kind]["items"][0], OPTIONAL_IN_LINE[kind][column])]


@pytest.mark.parametrize(
    ("kind", "column"),
    LINE_OPTIONALS,
)
def test_one_blank_optional_of_a_line_is_omitted(kind: str, column: str) -> None:
    """Customers' views may hold dates and numbers as text, where blank means absent."""
    for blank in BLANKS:
        assert sent(kind, line={column: blank})["items"] == [
            without(WIRE[kind]["items"][0], OPTIONAL_IN_LINE[kind][column])
        ]


# --- money ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "read_as"),
    [
        (Decimal("9999999999999999.99"), "9999999999999999.99"),
        (Decimal("0.01"), "0.01"),
        (Decimal("0"), "0"),
        (Decimal("0.00"), "0.00"),
        (Decimal("12345678901234.10"), "12345678901234.10"),
        (Decimal("1E+3"), "1000"),
        (1500, "1500"),
        ("1500.25", "1500.25"),
        (0.1 + 0.2, "0.30"),
        (1500.5, "1500.50"),
        (19.99, "19.99"),
        (1e15 + 0.25, "1000000000000000.25"),
        (1e-9, "0.00"),
    ],
    ids=str,
)
def test_money_is_an_exact_json_number(held: Any, read_as: str) -> None:
    """SQLite keeps decimals as binary floats: they come back at the scale of the column."""
    item = sent("phieu_nhap", line={"don_gia": held, "thanh_tien": held})["items"][0]
    assert item["unitPrice"] == Decimal(read_as)
    assert item["amount"] == Decimal(read_as)


@pytest.mark.parametrize(("held", "read_as"), [(0.1, "0.1000"), (1 / 3, "0.3333"), (Decimal("12.3456"), "12.3456")])
def test_a_conversion_ratio_has_four_decimals(held: Any, read_as: str) -> None:
    item = sent("hoa_don", line={"ty_le_quy_doi": held})["items"][0]
    assert str(item["conversionRatio"]) == read_as


@pytest.mark.parametrize("amount", ["-0.01", "-150000.00"])
def test_an_amount_may_be_negative_as_discounts_are(amount: str) -> None:
    assert sent("phieu_nhap", line={"thanh_tien": Decimal(amount)})["items"][0]["amount"] == Decimal(amount)


@steady
@given(st.decimals(0, Decimal("9999999999999999.99"), places=2))
def test_every_price_that_the_column_can_hold_arrives_unchanged(price: Decimal) -> None:
    assert sent("phieu_xuat", line={"don_gia": price})["items"][0]["unitPrice"] == price


@steady
@given(st.integers(0, 10**13))
def test_every_price_that_went_through_a_binary_float_arrives_unchanged(cents: int) -> None:
    """Fifteen significant digits survive a double."""
    price = Decimal(cents) / 100
    assert sent("phieu_xuat", line={"don_gia": float(price)})["items"][0]["unitPrice"] == price


@pytest.mark.parametrize(
    "senseless", [float("nan"), float("inf"), float("-inf"), Decimal("NaN"), Decimal("Infinity"), "1,5", "abc", True]
)
def test_what_is_no_amount_of_money_is_refused(senseless: Any) -> None:
    sentence = f"không hợp lệ: {senseless}"
    message = refused("phieu_nhap", line={"don_gia": senseless, "thanh_tien": senseless})
    assert message == f"Dòng 1: đơn giá {sentence}; Dòng 1: thành tiền {sentence}"


# --- dates ----------------------------------------------------------------------------------------

SEVEN_HOURS_EAST = timezone(timedelta(hours=7))


@pytest.mark.parametrize(
    ("held", "wire"),
    [
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),  # noqa: DTZ001
        (datetime(2026, 1, 2, 3, 4, 59, 999_999), "2026-01-02T03:04:59"),  # noqa: DTZ001
        (datetime(2026, 1, 2), "2026-01-02T00:00:00"),  # noqa: DTZ001
        (date(2026, 1, 2), "2026-01-02T00:00:00"),
        ("2026-01-02 03:04:05.123000", "2026-01-02T03:04:05"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05"),
        ("2026-01-02", "2026-01-02T00:00:00"),
        (datetime(2026, 1, 1, 20, 0, tzinfo=UTC), "2026-01-02T03:00:00"),
        (datetime(2026, 1, 2, 3, 0, tzinfo=SEVEN_HOURS_EAST), "2026-01-02T03:00:00"),
        ("2026-01-01T20:00:00Z", "2026-01-02T03:00:00"),
        ("2026-01-02 03:00:00+07:00", "2026-01-02T03:00:00"),
    ],
    ids=str,
)
def test_a_receipts_time_is_local_time_to_the_second(held: Any, wire: str) -> None:
    assert sent("phieu_nhap", {"ngay_nhap": held})["importDate"] == wire


@pytest.mark.parametrize(
    ("kind", "column", "name"), [("phieu_xuat", "ngay_xuat", "exportDate"), ("hoa_don", "ngay_ban", "saleDate")]
)
@pytest.mark.parametrize(
    "held",
    [
        date(2026, 1, 2),
        datetime(2026, 1, 2, 23, 59),  # noqa: DTZ001
        datetime(2026, 1, 2, 3, 0, tzinfo=SEVEN_HOURS_EAST),
        "2026-01-02",
        "2026-01-02 00:00:00",
        "2026-01-02T23:59:59.999",
        datetime(2026, 1, 1, 20, 0, tzinfo=UTC),
    ],
    ids=str,
)
def test_a_day_is_sent_as_the_local_day_whatever_holds_it(kind: str, column: str, name: str, held: Any) -> None:
    assert sent(kind, {column: held}, {"han_dung": held, "ngay_san_xuat": None})[name] == "2026-01-02"
    assert sent(kind, line={"han_dung": held, "ngay_san_xuat": None})["items"][0]["expiryDate"] == "2026-01-02"


@pytest.mark.parametrize("senseless", ["01/02/2026", "2026-02-30", "2026-13-01", "hôm nay", 20260102, 46024.5, True])
def test_what_is_no_date_is_refused_with_what_was_found(senseless: Any) -> None:
    assert refused("phieu_nhap", {"ngay_nhap": senseless}) == f"Ngày nhập không hợp lệ: {senseless}"
    assert refused("hoa_don", {"ngay_ban": senseless}) == f"Ngày bán không hợp lệ: {senseless}"
    assert refused("hoa_don", line={"han_dung": senseless}) == f"Dòng 1: hạn dùng không hợp lệ: {senseless}"


def test_rubbish_behind_a_date_is_refused() -> None:
    assert refused("hoa_don", line={"han_dung": "2028-01-0199"}) == "Dòng 1: hạn dùng không hợp lệ: 2028-01-0199"


@pytest.mark.parametrize(
    "held", [datetime.max.replace(tzinfo=UTC), "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00"]
)
def test_p7_a_time_at_the_end_of_the_calendar_blocks_no_other_document(held: Any) -> None:
    assert refused("phieu_nhap", {"ngay_nhap": held}).startswith("Ngày nhập không hợp lệ")


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_an_expiry_before_the_manufacture_is_refused_and_the_same_day_is_not(kind: str) -> None:
    made = date(2026, 5, 2)
    sentence = "Dòng 1: hạn dùng (01/05/2026) trước ngày sản xuất (02/05/2026)"
    assert refused(kind, line={"ngay_san_xuat": made, "han_dung": date(2026, 5, 1)}) == sentence
    assert sent(kind, line={"ngay_san_xuat": made, "han_dung": made})["items"][0]["expiryDate"] == "2026-05-02"


# --- whole numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [3, 3.0, "3", " 3 ", "003", Decimal("3"), Decimal("3.00")], ids=repr)
def test_a_whole_number_is_understood_whatever_holds_it(held: Any) -> None:
    item = sent("hoa_don", line={"so_luong": held})["items"][0]
    assert (type(item["quantity"]), item["quantity"]) == (int, 3)


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        (0, "phải lớn hơn 0"),
        (-2, "phải lớn hơn 0"),
        (-(2**31) - 1, "phải lớn hơn 0"),
        (2**31, "không được lớn hơn 2147483647"),
        (10**40, "không được lớn hơn 2147483647"),
        (2.5, "không hợp lệ: 2.5"),
        (Decimal("2.5"), "không hợp lệ: 2.5"),
        ("hai", "không hợp lệ: hai"),
        ("2,5", "không hợp lệ: 2,5"),
        (float("nan"), "không hợp lệ: nan"),
        (float("inf"), "không hợp lệ: inf"),
        ("9" * 5000, "không hợp lệ: " + "9" * 60),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_quantity_is_refused(held: Any, sentence: str) -> None:
    assert refused("hoa_don", line={"so_luong": held}) == f"Dòng 1: số lượng {sentence}"


@pytest.mark.parametrize("edge", [-(2**31), -1, 0, 2**31 - 1])
def test_a_type_may_be_any_number_of_its_column(edge: int) -> None:
    assert sent("phieu_nhap", {"loai_phieu_nhap": edge})["importType"] == edge
    assert sent("phieu_xuat", {"loai_phieu_xuat": edge})["exportType"] == edge


@pytest.mark.parametrize("beyond", [2**31, -(2**31) - 1])
def test_a_type_beyond_32_bits_is_refused(beyond: int) -> None:
    assert "loại phiếu nhập không được" in refused("phieu_nhap", {"loai_phieu_nhap": beyond}).lower()


@pytest.mark.parametrize(
    ("held", "sentence"), [(Decimal("-0.01"), "không được nhỏ hơn 0"), (-1.5, "không được nhỏ hơn 0")]
)
def test_a_negative_price_is_refused_and_a_gift_is_not(held: Any, sentence: str) -> None:
    assert refused("phieu_xuat", line={"don_gia": held}) == f"Dòng 1: đơn giá {sentence}"
    assert sent("phieu_xuat", line={"don_gia": 0})["items"][0]["unitPrice"] == 0


# --- text -----------------------------------------------------------------------------------------


def test_codes_that_are_numbers_in_the_source_are_sent_as_text() -> None:
    document = sent("phieu_nhap", {"ma_co_so": 79001}, {"ma_thuoc": 12, "so_lo": 20260101})
    assert document["facilityCode"] == "79001"
    assert (document["items"][0]["medicineCode"], document["items"][0]["batchNumber"]) == ("12", "20260101")


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_control_characters_quotes_and_emoji_arrive_as_they_stand(kind: str) -> None:
    awkward = 'a\x00b\x01\x1f\x7f "c" \\ \n\t\u2028 👍 <b>&'
    prepared = prepare(kind, line={"ten_thuoc": awkward})
    assert isinstance(prepared, Prepared)
    assert read(prepared.body)["items"][0]["medicineName"] == awkward
    assert rb"a\u0000b\u0001\u001f" in prepared.body
    assert not any(byte < 0x20 for byte in prepared.body)


@pytest.mark.parametrize("kind", KIND_NAMES)
@pytest.mark.parametrize("half", ["\ud83d", "thuốc \udc4d"], ids=ascii)
def test_p7_half_a_character_is_refused_and_does_not_crash(kind: str, half: str) -> None:
    code = KINDS[kind].code_column
    message = refused(kind, {code: half, "ma_co_so": half}, {"ten_thuoc": half})
    label = {"ma_phieu": "Mã phiếu", "ma_hoa_don": "Mã hóa đơn"}[code]
    wrong = "chứa ký tự không hợp lệ"
    assert message == f"{label} {wrong}; Mã cơ sở {wrong}; Dòng 1: tên thuốc {wrong}"


@pytest.mark.parametrize("held", [["a"], {"a": 1}, object], ids=str)
def test_what_is_no_text_is_refused(held: Any) -> None:
    assert refused("phieu_nhap", {"ma_co_so": held}) == "Mã cơ sở không phải là chữ"


def test_a_huge_note_is_sent_whole() -> None:
    note = "Biên bản giao nhận. " * 500_000
    assert sent("phieu_nhap", {"ghi_chu": note})["note"] == note


@steady
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_sent_unchanged_or_omitted_when_blank(text: str) -> None:
    assert sent("phieu_xuat", {"ghi_chu": text}).get("note") == (text if text.strip() else None)


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(st.characters()),
    st.binary(),
    st.dates(),
    st.datetimes(),
)


@steady
@given(data=st.data(), kind=st.sampled_from(KIND_NAMES))
def test_p7_no_value_in_any_column_raises(data: st.DataObject, kind: str) -> None:
    column = data.draw(st.sampled_from(sorted({*HEADERS[kind], *LINES[kind]})))
    change = {column: data.draw(anything)}
    in_header = column in HEADERS[kind]
    prepared = prepare(kind, change if in_header else None, None if in_header else change)
    if isinstance(prepared, Invalid):
        expected = "han_dung" if change[column] and "trước ngày" in prepared.message else column
        assert {fault.field for fault in prepared.faults} == {expected}
        assert prepared.message.isprintable()
    else:
        assert read(prepared.body)


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "column", "sentence"),
    [(kind, column, sentence) for kind in KIND_NAMES for column, sentence in LABELS[kind].items()],
)
def test_each_required_field_of_the_header_is_asked_for(kind: str, column: str, sentence: str) -> None:
    assert refused(kind, {column: None}) == sentence
    prepared = ENDPOINTS[kind].prepare(Document(kind, "code", without(HEADERS[kind], column), [LINES[kind]]))
    assert prepared == Invalid((Fault(None, column, sentence[0].lower() + sentence[1:]),))


@pytest.mark.parametrize("kind", KIND_NAMES)
@pytest.mark.parametrize(("column", "sentence"), LINE_LABELS.items())
def test_each_required_field_of_a_line_is_asked_for(kind: str, column: str, sentence: str) -> None:
    assert refused(kind, line={column: None}) == sentence
    assert refused(kind, lines=[without(LINES[kind], column)]) == sentence


@pytest.mark.parametrize("kind", KIND_NAMES)
@pytest.mark.parametrize("blank", BLANKS, ids=repr)
def test_blank_text_is_missing_text(kind: str, blank: str) -> None:
    for column, sentence in (LABELS[kind] | LINE_LABELS).items():
        if column in TEXT_COLUMNS:
            in_header = column in HEADERS[kind]
            change = {column: blank}
            assert refused(kind, change if in_header else None, None if in_header else change) == sentence


@pytest.mark.parametrize(("column", "sentence"), [(c, s) for c, s in LINE_LABELS.items() if c not in TEXT_COLUMNS])
def test_a_blank_number_or_date_is_missing_too(column: str, sentence: str) -> None:
    assert refused("hoa_don", line={column: " "}) == sentence


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_document_without_lines_is_refused(kind: str) -> None:
    assert refused(kind, lines=[]) == "Không có dòng thuốc nào"


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_every_fault_is_reported_at_once_with_its_line(kind: str) -> None:
    header_faults = dict.fromkeys(LABELS[kind])
    bad_quantity = {**LINES[kind], "so_luong": 0, "don_gia": Decimal("-1")}
    empty = dict.fromkeys(LINES[kind])
    message = refused(kind, header_faults, lines=[LINES[kind], bad_quantity, empty])
    assert set(message.split("; ")) == {
        *LABELS[kind].values(),
        "Dòng 2: số lượng phải lớn hơn 0",
        "Dòng 2: đơn giá không được nhỏ hơn 0",
        *(sentence.replace("Dòng 1", "Dòng 3") for sentence in LINE_LABELS.values()),
    }
    places = [part.startswith("Dòng") and int(part[5]) for part in message.split("; ")]
    assert places == sorted(places), "header first, then line by line"


def test_line_numbers_count_from_one_and_have_no_upper_end() -> None:
    lines = [dict(LINES["hoa_don"]) for _ in range(120)]
    lines[119]["so_lo"] = None
    assert refused("hoa_don", lines=lines) == "Dòng 120: thiếu số lô"


def test_a_fault_names_its_line_and_source_column() -> None:
    invalid = prepare("phieu_nhap", {"ma_co_so": None}, {"so_lo": ""})
    assert invalid == Invalid((Fault(None, "ma_co_so", "thiếu mã cơ sở"), Fault(1, "so_lo", "thiếu số lô")))


# --- persons' names (P9) --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_p9_only_personal_columns_are_masked_and_all_of_them_are(kind: str) -> None:
    prepared = prepare(kind)
    assert isinstance(prepared, Prepared)
    expected = dict(prepared.payload)
    if kind == "hoa_don":
        expected |= {"customerName": "N*** V*** A***", "sellerName": "T*** T*** B***"}
    assert prepared.masked == expected
    assert set(prepared.names) == ({CUSTOMER, SELLER} if kind == "hoa_don" else set())


def test_p9_the_masked_text_differs_from_the_body_in_the_names_alone() -> None:
    prepared = prepare("hoa_don")
    assert isinstance(prepared, Prepared)
    assert read(prepared.text(masked=True)) == {
        **WIRE["hoa_don"],
        "customerName": "N*** V*** A***",
        "sellerName": "T*** T*** B***",
    }
    assert prepared.text(masked=False) == prepared.body.decode()


def test_p9_an_invoice_without_persons_has_nothing_to_mask() -> None:
    prepared = prepare("hoa_don", {"ho_ten_khach_hang": None, "ho_ten_nguoi_ban": "  "})
    assert isinstance(prepared, Prepared)
    assert prepared.names == ()
    assert prepared.text(masked=True) == prepared.body.decode()


def test_p9_every_personal_column_of_every_kind_is_the_profiles_too() -> None:
    assert {kind.name: kind.personal_columns for kind in ALL_KINDS} == {
        kind.name: ENDPOINTS[kind.name].personal_columns for kind in ALL_KINDS
    }


@pytest.mark.parametrize("column", ["ho_ten_khach_hang", "ho_ten_nguoi_ban"])
@pytest.mark.parametrize("spoil", [lambda name: [name], lambda name: name + "\ud800", lambda name: {name: name}])
def test_p9_a_fault_does_not_repeat_a_persons_name(column: str, spoil: Any) -> None:
    message = refused("hoa_don", {column: spoil("Lê Thị Quyên"), "ma_co_so": None})
    assert "Quyên" not in message
    assert "thiếu mã cơ sở" in message.lower()
    assert "họ tên" in message.lower()


def test_p9_a_prepared_document_does_not_show_names_when_it_is_printed() -> None:
    prepared = prepare("hoa_don")
    assert "Trần" not in repr(prepared)
    assert "\\xe1\\xba\\xa7n Th" not in repr(prepared)


# --- against another reading of the protocol ------------------------------------------------------


def as_source(kind: str, sample: SampleDocument) -> Document:
    return Document(kind, str(sample.header[KINDS[kind].code_column]), sample.header, sample.lines)


BROKEN_RULE_COLUMNS = {
    "facility": "ma_co_so",
    "lines": "items",
    "expiry_order": "han_dung",
}


def columns_of(kind: str, defect: str) -> set[str]:
    own = {"date": KINDS[kind].date_column, "type": f"loai_{kind}"}
    return {{**BROKEN_RULE_COLUMNS, **own}.get(rule, rule) for rule in DEFECTS[defect].breaks}


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_good_samples_please_the_simulator_and_defective_ones_are_refused_for_their_defect(kind: str) -> None:
    route = next(route for route in ROUTES if route.kind == kind)
    met = set()
    for sample in generate(kind, 600, seed=11, today=TODAY, defect_every=4):
        prepared = ENDPOINTS[kind].prepare(as_source(kind, sample))
        if sample.defect is None:
            assert isinstance(prepared, Prepared), prepared
            assert find_faults(route.header, route.line, read_document(prepared.body)) == []
        else:
            assert isinstance(prepared, Invalid), sample.defect
            assert {fault.field for fault in prepared.faults} == columns_of(kind, sample.defect)
            met.add(sample.defect)
    assert met == {name for name, defect in DEFECTS.items() if kind in defect.kinds}


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_the_complete_document_and_the_barest_one_please_the_simulator(kind: str) -> None:
    route = next(route for route in ROUTES if route.kind == kind)
    bare = prepare(kind, dict.fromkeys(OPTIONAL_IN_HEADER[kind]), dict.fromkeys(OPTIONAL_IN_LINE[kind]))
    for prepared in (prepare(kind), bare):
        assert isinstance(prepared, Prepared)
        assert find_faults(route.header, route.line, read_document(prepared.body)) == []

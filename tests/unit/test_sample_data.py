"""The sample documents: good ones must be sendable, defective ones must break exactly what they announce.

The columns, lengths and rules are written out here a second time, so that a slip in the generator shows.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from itertools import islice
from typing import Any

import pytest

from app.demo.medicines import MEDICINES
from app.demo.sample_data import DEFECTS, SampleDocument, defects_of, generate

KINDS = ("phieu_nhap", "phieu_xuat", "hoa_don")
TODAY = date(2026, 11, 20)
ENOUGH = 3_000  # documents, so that everything rare has happened

# What a column may hold: a length for text, None for text without a limit, else the Python type.
HEADER_COLUMNS: dict[str, dict[str, int | type | None]] = {
    "phieu_nhap": {
        "ma_phieu": 50,
        "ma_phieu_nhap_quoc_gia": 250,
        "ma_co_so": 50,
        "ngay_nhap": datetime,
        "loai_phieu_nhap": int,
        "ghi_chu": None,
        "ten_co_so_cung_cap": 255,
        "dateinsert": datetime,
        "status_phieu": int,
        "note_log": None,
    },
    "phieu_xuat": {
        "ma_phieu": 50,
        "ma_phieu_xuat_quoc_gia": 250,
        "ma_co_so": 50,
        "shop_code": int,
        "ngay_xuat": date,
        "loai_phieu_xuat": int,
        "ghi_chu": None,
        "ten_co_so_nhan": 255,
        "dateinsert": datetime,
        "status_phieu": int,
        "note_log": None,
    },
    "hoa_don": {
        "ma_hoa_don": 50,
        "ma_hoa_don_quoc_gia": 250,
        "ma_co_so": 50,
        "ma_don_thuoc_quoc_gia": 50,
        "ngay_ban": date,
        "ho_ten_khach_hang": 255,
        "ho_ten_nguoi_ban": 255,
        "status_phieu": int,
        "note_log": None,
    },
}
LINE_COLUMNS: dict[str, dict[str, int | type | None]] = {
    "phieu_nhap": {
        "ma_thuoc": 50,
        "ten_thuoc": 255,
        "so_lo": 50,
        "ngay_san_xuat": date,
        "han_dung": date,
        "so_dklh": 50,
        "so_luong": int,
        "don_gia": Decimal,
        "thanh_tien": Decimal,
        "don_vi_tinh": 50,
    },
    "phieu_xuat": {
        "ma_thuoc": 50,
        "ten_thuoc": 255,
        "so_lo": 50,
        "ngay_san_xuat": date,
        "han_dung": date,
        "so_dklh": 50,
        "so_luong": int,
        "don_gia": Decimal,
        "don_vi_tinh": 50,
    },
    "hoa_don": {
        "ma_thuoc": 50,
        "ten_thuoc": 500,
        "so_lo": 50,
        "ngay_san_xuat": date,
        "han_dung": date,
        "don_vi_tinh": 50,
        "ham_luong": 100,
        "duong_dung": 100,
        "lieu_dung": 255,
        "so_dang_ky": 50,
        "so_luong": int,
        "don_gia": Decimal,
        "thanh_tien": Decimal,
        "ty_le_quy_doi": Decimal,
    },
}
CODE_COLUMN = {"phieu_nhap": "ma_phieu", "phieu_xuat": "ma_phieu", "hoa_don": "ma_hoa_don"}
DATE_COLUMN = {"phieu_nhap": "ngay_nhap", "phieu_xuat": "ngay_xuat", "hoa_don": "ngay_ban"}
TYPE_COLUMN = {"phieu_nhap": "loai_phieu_nhap", "phieu_xuat": "loai_phieu_xuat"}
NATIONAL_CODE_COLUMN = {
    "phieu_nhap": "ma_phieu_nhap_quoc_gia",
    "phieu_xuat": "ma_phieu_xuat_quoc_gia",
    "hoa_don": "ma_hoa_don_quoc_gia",
}
DEFECTS_OF_KINDS = [(kind, defect.name) for kind in KINDS for defect in defects_of(kind)]

every_kind = pytest.mark.parametrize("kind", KINDS)


@cache
def documents(kind: str, count: int = ENOUGH, *, seed: int = 7, defect_every: int = 15) -> Sequence[SampleDocument]:
    return list(generate(kind, count, seed=seed, today=TODAY, defect_every=defect_every))


def good_documents(kind: str) -> Sequence[SampleDocument]:
    return documents(kind, defect_every=0)


def documents_with_defect(kind: str, name: str) -> list[SampleDocument]:
    return [document for document in documents(kind, 500, defect_every=1) if document.defect == name]


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def faults(kind: str, document: SampleDocument) -> list[tuple[int | None, str]]:
    """Every violated rule with its line number, None for the header: the requirements in plain Python."""
    header: dict[str, Any] = document.header
    found: list[tuple[int | None, str]] = []
    required = {"code": CODE_COLUMN[kind], "facility": "ma_co_so", "date": DATE_COLUMN[kind]}
    if kind in TYPE_COLUMN:
        required["type"] = TYPE_COLUMN[kind]
    found += [(None, rule) for rule, column in required.items() if is_missing(header[column])]
    if not document.lines:
        found.append((None, "lines"))
    for number, line in enumerate(document.lines, start=1):
        found += [(number, rule) for rule in faults_of_line(line)]
    return found


def faults_of_line(line: dict[str, Any]) -> Iterator[str]:
    for column in ("ma_thuoc", "ten_thuoc", "so_lo", "han_dung", "don_vi_tinh"):
        if is_missing(line[column]):
            yield column
    if line["so_luong"] is None or line["so_luong"] <= 0:
        yield "so_luong"
    if line["don_gia"] is None or line["don_gia"] < 0:
        yield "don_gia"
    if line["han_dung"] and line["ngay_san_xuat"] and line["han_dung"] < line["ngay_san_xuat"]:
        yield "expiry_order"


def all_lines(of: Sequence[SampleDocument]) -> list[dict[str, Any]]:
    return [line for document in of for line in document.lines]


def assert_fits(row: dict[str, Any], columns: dict[str, int | type | None]) -> None:
    assert row.keys() == columns.keys()
    for column, kept in columns.items():
        value = row[column]
        if value is None:
            continue
        if isinstance(kept, type):
            assert type(value) is kept, column
        else:
            assert type(value) is str, column
            assert kept is None or len(value.encode("utf-16-le")) // 2 <= kept, column


# --- Reproducible and lazy --------------------------------------------------------------------------


@every_kind
def test_the_same_seed_gives_the_same_documents(kind: str) -> None:
    first, second = (list(generate(kind, 200, seed=7, today=TODAY)) for _ in range(2))

    assert first == second


@every_kind
def test_another_seed_gives_other_documents(kind: str) -> None:
    assert documents(kind, 20, seed=1) != documents(kind, 20, seed=2)


@every_kind
def test_a_smaller_count_gives_the_beginning_of_a_larger_one(kind: str) -> None:
    assert documents(kind, 50) == documents(kind, 200)[:50]


@every_kind
def test_the_first_documents_of_a_billion_are_there_at_once(kind: str) -> None:
    of_a_billion = generate(kind, 10**9, seed=7, today=TODAY)

    assert list(islice(of_a_billion, 3)) == documents(kind, 3)


@every_kind
def test_exactly_as_many_documents_come_as_asked_for(kind: str) -> None:
    assert [len(documents(kind, count)) for count in (0, 1, 17)] == [0, 1, 17]


@every_kind
def test_codes_are_unique_for_a_kind_and_seed(kind: str) -> None:
    codes = [document.header[CODE_COLUMN[kind]] for document in documents(kind)]

    assert len(set(codes)) == ENOUGH


@pytest.mark.parametrize(("kind", "prefix"), [("phieu_nhap", "PN"), ("phieu_xuat", "PX"), ("hoa_don", "HD")])
def test_a_code_tells_kind_shop_day_and_number(kind: str, prefix: str) -> None:
    for number, document in enumerate(good_documents(kind), start=1):
        header: dict[str, Any] = document.header
        province, _, shop = header["ma_co_so"].split("-")

        code = f"{prefix}-{province}{shop}-{header[DATE_COLUMN[kind]]:%Y%m%d}-{number:06d}"

        assert header[CODE_COLUMN[kind]] == code


@pytest.mark.parametrize(
    ("kind", "count", "defect_every"),
    [("phieu_kiem_ke", 1, 15), ("hoa_don", -1, 15), ("hoa_don", 1, -1)],
)
def test_senseless_arguments_are_refused_before_the_first_document(kind: str, count: int, defect_every: int) -> None:
    with pytest.raises(ValueError, match=r"unknown kind|negative"):
        generate(kind, count, seed=7, today=TODAY, defect_every=defect_every)


# --- What the tables take ---------------------------------------------------------------------------


@every_kind
def test_rows_have_all_columns_of_their_table_and_no_others_and_every_value_fits(kind: str) -> None:
    for document in documents(kind, defect_every=2):
        assert_fits(document.header, HEADER_COLUMNS[kind])
        for line in document.lines:
            assert_fits(line, LINE_COLUMNS[kind])


@every_kind
def test_numbers_fit_their_sql_types(kind: str) -> None:
    for line in all_lines(good_documents(kind)):
        assert line["so_luong"] < 2**31
        for column in LINE_COLUMNS[kind].keys() & {"don_gia", "thanh_tien"}:
            assert line[column].as_tuple().exponent == -2
            assert line[column] < Decimal(10) ** 16


@every_kind
def test_documents_are_new_and_have_no_national_code_yet(kind: str) -> None:
    headers = [document.header for document in documents(kind)]

    assert {header["status_phieu"] for header in headers} == {0, None}
    assert {header["note_log"] for header in headers} == {None}
    assert {header[NATIONAL_CODE_COLUMN[kind]] for header in headers} == {None}


# --- Good documents ---------------------------------------------------------------------------------


@every_kind
def test_a_document_without_a_defect_satisfies_every_rule(kind: str) -> None:
    for document in [*good_documents(kind), *documents(kind)]:
        if document.defect is None:
            assert faults(kind, document) == []


@pytest.mark.parametrize("kind", ["phieu_nhap", "hoa_don"])
def test_the_amount_is_quantity_times_price_to_the_last_digit(kind: str) -> None:
    for line in all_lines(good_documents(kind)):
        assert line["thanh_tien"] == line["so_luong"] * line["don_gia"]


@every_kind
def test_dates_lie_in_the_last_thirty_days(kind: str) -> None:
    for document in good_documents(kind):
        value = document.header[DATE_COLUMN[kind]]
        day = value.date() if isinstance(value, datetime) else value

        assert isinstance(day, date)
        assert TODAY - timedelta(days=30) <= day <= TODAY


def test_goods_are_received_in_working_hours_and_entered_soon_after() -> None:
    for document in good_documents("phieu_nhap"):
        header: dict[str, Any] = document.header

        assert time(7, 30) <= header["ngay_nhap"].time() <= time(17, 0)
        assert timedelta(0) < header["dateinsert"] - header["ngay_nhap"] < timedelta(hours=1)


@pytest.mark.parametrize("kind", ["phieu_nhap", "phieu_xuat"])
def test_no_time_of_day_lies_in_the_future_however_early_it_is(kind: str) -> None:
    midnight = datetime.combine(TODAY, time())

    assert all(document.header["dateinsert"] < midnight for document in good_documents(kind))  # type: ignore[operator]


@every_kind
def test_a_lot_has_one_expiry_date_wherever_it_appears(kind: str) -> None:
    expiry_of_lot: dict[str, date] = {}
    for line in all_lines(good_documents(kind)):
        assert expiry_of_lot.setdefault(line["so_lo"], line["han_dung"]) == line["han_dung"]
        assert line["han_dung"] > TODAY


@every_kind
def test_documents_have_one_to_eight_lines_of_different_medicines(kind: str) -> None:
    of_kind = good_documents(kind)

    assert {len(document.lines) for document in of_kind} >= {1, 2, 3, 8}
    assert max(len(document.lines) for document in of_kind) == 8
    for document in of_kind:
        assert len({line["ma_thuoc"] for line in document.lines}) == len(document.lines)


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("phieu_nhap", "ghi_chu"),
        ("phieu_nhap", "ten_co_so_cung_cap"),
        ("phieu_xuat", "ghi_chu"),
        ("phieu_xuat", "ten_co_so_nhan"),
        ("hoa_don", "ma_don_thuoc_quoc_gia"),
        ("hoa_don", "ho_ten_khach_hang"),
    ],
)
def test_optional_header_columns_are_empty_now_and_then(kind: str, column: str) -> None:
    values = [document.header[column] for document in good_documents(kind)]

    assert 0 < values.count(None) < len(values)


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("phieu_nhap", "ngay_san_xuat"),
        ("phieu_nhap", "so_dklh"),
        ("phieu_xuat", "ngay_san_xuat"),
        ("phieu_xuat", "so_dklh"),
        ("hoa_don", "ngay_san_xuat"),
        ("hoa_don", "so_dang_ky"),
        ("hoa_don", "lieu_dung"),
    ],
)
def test_optional_line_columns_are_empty_now_and_then(kind: str, column: str) -> None:
    values = [line[column] for line in all_lines(good_documents(kind))]

    assert 0 < values.count(None) < len(values) / 5


@pytest.mark.parametrize("kind", ["phieu_nhap", "phieu_xuat"])
@pytest.mark.parametrize(
    "is_awkward",
    [
        pytest.param(lambda note: len(note) > 300, id="long"),
        pytest.param(lambda note: "\n" in note, id="newline"),
        pytest.param(lambda note: '"' in note, id="double quote"),
        pytest.param(lambda note: "'" in note, id="single quote"),
        pytest.param(lambda note: "<" in note and "&" in note and "\\" in note, id="markup"),
        pytest.param(lambda note: any(ord(character) > 0xFFFF for character in note), id="emoji"),
    ],
)
def test_some_notes_are_awkward(kind: str, is_awkward: Callable[[object], bool]) -> None:
    notes = [document.header["ghi_chu"] for document in good_documents(kind)]

    assert any(is_awkward(note) for note in notes if note is not None)


@pytest.mark.parametrize("kind", ["phieu_nhap", "hoa_don"])
def test_some_goods_are_free(kind: str) -> None:
    assert any(line["don_gia"] == 0 for line in all_lines(good_documents(kind)))


@every_kind
def test_some_quantities_are_those_of_a_warehouse(kind: str) -> None:
    assert any(line["so_luong"] >= 1_000 for line in all_lines(good_documents(kind)))


def test_many_customers_stay_anonymous() -> None:
    customers = Counter(document.header["ho_ten_khach_hang"] for document in good_documents("hoa_don"))

    assert ENOUGH / 4 < customers["Khách lẻ"] < ENOUGH * 3 / 4


def test_the_conversion_ratio_belongs_to_the_unit_sold() -> None:
    medicines = {medicine.ma_thuoc: medicine for medicine in MEDICINES}
    for line in all_lines(good_documents("hoa_don")):
        medicine = medicines[line["ma_thuoc"]]
        units_in = {medicine.pack_unit: medicine.pack_size, medicine.don_vi_tinh: 1}

        assert line["ty_le_quy_doi"] == units_in[line["don_vi_tinh"]]
        assert line["don_gia"] in {0, medicine.retail_price * line["ty_le_quy_doi"]}


def test_goods_are_never_moved_to_the_shop_they_come_from() -> None:
    for document in good_documents("phieu_xuat"):
        assert f"Nhà thuốc số {document.header['shop_code']} " not in f"{document.header['ten_co_so_nhan']}"


# --- Defects ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), DEFECTS_OF_KINDS)
def test_a_defect_breaks_exactly_the_rules_it_names(kind: str, name: str) -> None:
    spoilt = documents_with_defect(kind, name)

    assert spoilt
    for document in spoilt:
        assert {rule for _, rule in faults(kind, document)} == DEFECTS[name].breaks


@pytest.mark.parametrize(("kind", "name"), DEFECTS_OF_KINDS)
def test_a_defect_breaks_each_rule_in_one_place_only(kind: str, name: str) -> None:
    for document in documents_with_defect(kind, name):
        assert len(faults(kind, document)) == len(DEFECTS[name].breaks)


@every_kind
def test_two_faulty_lines_are_two_different_lines(kind: str) -> None:
    for document in documents_with_defect(kind, "two_faulty_lines"):
        assert len({line for line, _ in faults(kind, document)}) == 2


@every_kind
def test_a_document_with_a_defect_keeps_its_code(kind: str) -> None:
    assert all(document.header[CODE_COLUMN[kind]] for document in documents(kind, 500, defect_every=1))


@pytest.mark.parametrize("kind", ["phieu_nhap", "hoa_don"])
def test_the_amount_follows_quantity_and_price_into_the_defect(kind: str) -> None:
    for line in all_lines(documents(kind, 500, defect_every=1)):
        if line["don_gia"] is None:
            assert line["thanh_tien"] is None
        else:
            assert line["thanh_tien"] == line["so_luong"] * line["don_gia"]


@every_kind
@pytest.mark.parametrize("defect_every", [1, 2, 15, 100])
def test_one_document_in_each_run_has_a_defect(kind: str, defect_every: int) -> None:
    of_kind = documents(kind, 20 * defect_every, defect_every=defect_every)

    for start in range(0, len(of_kind), defect_every):
        run = of_kind[start : start + defect_every]
        assert sum(document.defect is not None for document in run) == 1


@every_kind
def test_one_document_in_fifteen_has_a_defect_unless_told_otherwise(kind: str) -> None:
    of_kind = list(generate(kind, ENOUGH, seed=7, today=TODAY))

    assert sum(document.defect is not None for document in of_kind) == ENOUGH // 15


@every_kind
def test_no_document_has_a_defect_when_none_is_wanted(kind: str) -> None:
    assert {document.defect for document in good_documents(kind)} == {None}


@every_kind
def test_all_defects_of_a_kind_take_turns(kind: str) -> None:
    names = [defect.name for defect in defects_of(kind)]

    seen = [document.defect for document in documents(kind, len(names), defect_every=1)]

    assert sorted(names) == sorted(name or "" for name in seen)


def test_an_invoice_has_no_type_that_could_be_missing() -> None:
    assert "missing_type" not in {defect.name for defect in defects_of("hoa_don")}


def test_every_rule_is_broken_by_some_defect() -> None:
    broken = frozenset[str]().union(*(defect.breaks for defect in DEFECTS.values()))

    assert broken == {
        "facility",
        "date",
        "type",
        "lines",
        "ma_thuoc",
        "ten_thuoc",
        "so_lo",
        "han_dung",
        "so_luong",
        "don_gia",
        "don_vi_tinh",
        "expiry_order",
    }


def test_every_defect_is_explained_in_a_sentence() -> None:
    explanations = {defect.explanation for defect in DEFECTS.values()}

    assert len(explanations) == len(DEFECTS)
    assert all(explanation.endswith(".") for explanation in explanations)


# --- The price list ---------------------------------------------------------------------------------


def test_there_are_at_least_sixty_medicines_each_with_its_own_code_name_registration_and_lots() -> None:
    assert len(MEDICINES) >= 60
    for field in ("ma_thuoc", "ten_thuoc", "so_dang_ky", "lot_prefix"):
        assert len({getattr(medicine, field) for medicine in MEDICINES}) == len(MEDICINES), field


@pytest.mark.parametrize("medicine", MEDICINES, ids=lambda medicine: medicine.ten_thuoc)
def test_a_medicine_is_plausible(medicine: Any) -> None:
    number = medicine.so_dang_ky
    assert number.startswith(("VD-", "VN-", "VN2-", "QLSP-")) or (len(number) == 12 and number.isdigit())
    assert 0 < medicine.purchase_price < medicine.retail_price
    assert medicine.pack_size == 1 or medicine.pack_unit != medicine.don_vi_tinh
    assert all(getattr(medicine, text) for text in ("hoat_chat", "ham_luong", "duong_dung", "lieu_dung"))

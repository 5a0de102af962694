"""Sample documents of a pharmacy chain: receipts, issues and sales invoices as the source holds them.

Here: what the documents of the demo and of load tests look like, and the mistakes that people make in them.
Not here: writing them anywhere. Everything is computed from the arguments, one document at a time, so a
million documents take no more memory than one (P10). Shops, people and nearly all companies are invented.

A document is good, or it has one defect of the table `DEFECTS`; good means that it satisfies every rule of
"required before sending".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import cycle, repeat
from random import Random
from typing import Literal, cast

from app.demo.medicines import MEDICINES, Medicine

Header = dict[str, object]
Line = dict[str, object]

Rule = Literal[
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
]
"""What must hold before a document is sent; a rule about one field of a line has the name of its column."""


@dataclass(frozen=True, slots=True)
class SampleDocument:
    """One header row with its lines, keyed by source column; `defect` names what is wrong on purpose.

    The database adds the `id` of a line. Times are local and naive, as in the source.
    """

    header: Header
    lines: list[Line]
    defect: str | None


def generate(kind: str, count: int, *, seed: int, today: date, defect_every: int = 15) -> Iterator[SampleDocument]:
    """Yield `count` documents of `kind`, the same ones for the same arguments; a smaller count is a prefix.

    One document in each run of `defect_every` has a defect (0: none has); the defects take turns, so that few
    documents show many of them. Document codes are unique for a kind and seed; other seeds may repeat them.
    Dates lie within the 30 days up to `today`, and no time of day lies in the future.

    Raises ValueError for an unknown kind or a negative number.
    """
    if kind not in _RECIPES:
        raise ValueError(f"unknown kind {kind!r}; known are {', '.join(_RECIPES)}")
    if count < 0 or defect_every < 0:
        raise ValueError("count and defect_every must not be negative")
    return _documents(_RECIPES[kind], count, _repeatable(kind, seed), today, defect_every)


def defects_of(kind: str) -> tuple["Defect", ...]:
    """Return the defects that a document of this kind can have."""
    return tuple(defect for defect in DEFECTS.values() if kind in defect.kinds)


def _repeatable(kind: str, seed: int) -> Random:
    return Random(f"{kind}/{seed}")  # noqa: S311 (nothing here is secret)


def _documents(recipe: "_Recipe", count: int, rng: Random, today: date, defect_every: int) -> Iterator[SampleDocument]:
    planned = _planned_defects(recipe.kind, rng, defect_every)
    for number in range(1, count + 1):
        yield _document(recipe, number, rng, today, next(planned))


def _planned_defects(kind: str, rng: Random, every: int) -> Iterator["Defect | None"]:
    """Say, document by document, which defect it gets: one at a random place in each run of `every`."""
    if not every:
        yield from repeat(None)
    defects = list(defects_of(kind))
    rng.shuffle(defects)
    for defect in cycle(defects):
        place = rng.randrange(every)
        yield from (defect if i == place else None for i in range(every))


def _document(recipe: "_Recipe", number: int, rng: Random, today: date, defect: "Defect | None") -> SampleDocument:
    facility = rng.choice(FACILITIES)
    day = today - timedelta(days=recipe.youngest_days + rng.randrange(30))
    code = f"{recipe.code_prefix}-{facility.short_name}-{day:%Y%m%d}-{number:06d}"
    line_count = max(rng.choice(recipe.line_counts), defect.min_lines if defect else 1)
    header = recipe.header(rng, code, facility, day)
    lines = [recipe.line(rng, medicine, day) for medicine in rng.sample(MEDICINES, line_count)]
    if defect is None:
        return SampleDocument(header, lines, None)
    defect.apply(header, lines, rng)
    return SampleDocument(header, lines, defect.name)


# --- Defects ---------------------------------------------------------------------------------------

Damage = Callable[[Header, list[Line], Random], None]

_EVERY_KIND = frozenset({"phieu_nhap", "phieu_xuat", "hoa_don"})


@dataclass(frozen=True, slots=True)
class Defect:
    """A mistake as people make it, and exactly the rules it breaks."""

    name: str
    explanation: str
    """In Vietnamese, for the reader of the demo."""
    breaks: frozenset[Rule]
    apply: Damage
    min_lines: int = 1
    kinds: frozenset[str] = _EVERY_KIND


def _rules(*rules: Rule) -> frozenset[Rule]:
    return frozenset(rules)


def _spoil(line: Line, column: str, value: object) -> None:
    """Put the value in and keep the amount right: a defect breaks what it says and nothing else."""
    line[column] = value
    if "thanh_tien" in line:
        quantity, price = line["so_luong"], line["don_gia"]
        if isinstance(quantity, int) and isinstance(price, Decimal):
            line["thanh_tien"] = quantity * price
        else:
            line["thanh_tien"] = None


def _in_one_line(column: str, value: object) -> Damage:
    def apply(_header: Header, lines: list[Line], rng: Random) -> None:
        _spoil(rng.choice(lines), column, value)

    return apply


def _without(*columns: str) -> Damage:
    """Empty those of the header columns that the kind has."""

    def apply(header: Header, _lines: list[Line], _rng: Random) -> None:
        header.update(dict.fromkeys(header.keys() & columns))

    return apply


def _without_lines(_header: Header, lines: list[Line], _rng: Random) -> None:
    lines.clear()


def _with_dates_swapped(_header: Header, lines: list[Line], rng: Random) -> None:
    line = rng.choice(lines)
    expiry = cast(date, line["han_dung"])
    made = line["ngay_san_xuat"] or expiry - timedelta(days=730)
    line["ngay_san_xuat"], line["han_dung"] = expiry, made


def _in_two_lines(_header: Header, lines: list[Line], rng: Random) -> None:
    first, second = rng.sample(lines, 2)
    _spoil(first, "so_lo", None)
    _spoil(second, "so_luong", 0)


def _in_header_and_line(header: Header, lines: list[Line], rng: Random) -> None:
    header["ma_co_so"] = None
    _spoil(rng.choice(lines), "don_vi_tinh", None)


DEFECTS: Mapping[str, Defect] = {
    defect.name: defect
    for defect in (
        Defect(
            "missing_lot",
            "Một dòng thuốc chưa nhập số lô.",
            _rules("so_lo"),
            _in_one_line("so_lo", None),
        ),
        Defect(
            "missing_unit",
            "Một dòng thuốc chưa chọn đơn vị tính.",
            _rules("don_vi_tinh"),
            _in_one_line("don_vi_tinh", None),
        ),
        Defect(
            "missing_expiry",
            "Một dòng thuốc chưa nhập hạn dùng.",
            _rules("han_dung"),
            _in_one_line("han_dung", None),
        ),
        Defect(
            "expiry_before_manufacture",
            "Nhập nhầm ngày sản xuất và hạn dùng cho nhau nên hạn dùng đứng trước ngày sản xuất.",
            _rules("expiry_order"),
            _with_dates_swapped,
        ),
        Defect(
            "zero_quantity",
            "Một dòng thuốc có số lượng bằng 0.",
            _rules("so_luong"),
            _in_one_line("so_luong", 0),
        ),
        Defect(
            "negative_quantity",
            "Hàng trả lại bị ghi thành số lượng âm thay vì lập phiếu riêng.",
            _rules("so_luong"),
            _in_one_line("so_luong", -2),
        ),
        Defect(
            "negative_price",
            "Tiền giảm giá bị nhập vào đơn giá nên đơn giá âm.",
            _rules("don_gia"),
            _in_one_line("don_gia", Decimal("-15000.00")),
        ),
        Defect(
            "missing_price",
            "Một dòng thuốc chưa có đơn giá.",
            _rules("don_gia"),
            _in_one_line("don_gia", None),
        ),
        Defect(
            "blank_medicine_name",
            "Tên thuốc chỉ có khoảng trắng.",
            _rules("ten_thuoc"),
            _in_one_line("ten_thuoc", "   "),
        ),
        Defect(
            "missing_medicine_code",
            "Một dòng thuốc chưa có mã thuốc.",
            _rules("ma_thuoc"),
            _in_one_line("ma_thuoc", None),
        ),
        Defect(
            "no_lines",
            "Chứng từ không có dòng thuốc nào.",
            _rules("lines"),
            _without_lines,
        ),
        Defect(
            "missing_facility",
            "Chứng từ không có mã cơ sở.",
            _rules("facility"),
            _without("ma_co_so"),
        ),
        Defect(
            "missing_type",
            "Phiếu chưa chọn loại phiếu.",
            _rules("type"),
            _without("loai_phieu_nhap", "loai_phieu_xuat"),
            kinds=frozenset({"phieu_nhap", "phieu_xuat"}),
        ),
        Defect(
            "missing_date",
            "Chứng từ không có ngày.",
            _rules("date"),
            _without("ngay_nhap", "ngay_xuat", "ngay_ban"),
        ),
        Defect(
            "two_faulty_lines",
            "Hai lỗi ở hai dòng khác nhau: một dòng thiếu số lô, một dòng có số lượng bằng 0.",
            _rules("so_lo", "so_luong"),
            _in_two_lines,
            min_lines=2,
        ),
        Defect(
            "faulty_header_and_line",
            "Lỗi ở cả phần đầu và phần dòng: thiếu mã cơ sở và một dòng thiếu đơn vị tính.",
            _rules("facility", "don_vi_tinh"),
            _in_header_and_line,
        ),
    )
}


# --- The chain and the people around it ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Facility:
    """A shop of the chain."""

    province: str
    area: str
    shop_code: int
    name: str

    @property
    def ma_co_so(self) -> str:
        """The code of the shop in the source."""
        return f"{self.province}-{self.area}-{self.shop_code:03d}"

    @property
    def short_name(self) -> str:
        """How document codes name the shop."""
        return f"{self.province}{self.shop_code:03d}"


FACILITIES: tuple[Facility, ...] = (
    Facility("HCM", "Q1", 12, "Nhà thuốc số 12 - Quận 1, TP. Hồ Chí Minh"),
    Facility("HCM", "Q3", 27, "Nhà thuốc số 27 - Quận 3, TP. Hồ Chí Minh"),
    Facility("HCM", "TD", 58, "Nhà thuốc số 58 - Thủ Đức, TP. Hồ Chí Minh"),
    Facility("HCM", "GV", 73, "Nhà thuốc số 73 - Gò Vấp, TP. Hồ Chí Minh"),
    Facility("HN", "HK", 101, "Nhà thuốc số 101 - Hoàn Kiếm, Hà Nội"),
    Facility("HN", "CG", 118, "Nhà thuốc số 118 - Cầu Giấy, Hà Nội"),
    Facility("DN", "HC", 204, "Nhà thuốc số 204 - Hải Châu, Đà Nẵng"),
    Facility("HP", "LC", 231, "Nhà thuốc số 231 - Lê Chân, Hải Phòng"),
    Facility("CT", "NK", 305, "Nhà thuốc số 305 - Ninh Kiều, Cần Thơ"),
    Facility("BD", "TDM", 342, "Nhà thuốc số 342 - Thủ Dầu Một, Bình Dương"),
    Facility("DNA", "BH", 367, "Nhà thuốc số 367 - Biên Hòa, Đồng Nai"),
    Facility("KH", "NT", 410, "Nhà thuốc số 410 - Nha Trang, Khánh Hòa"),
)

SUPPLIERS = (
    "Công ty CP Dược phẩm An Khang Thịnh",
    "Công ty CP Dược phẩm Nam Phương",
    "Công ty CP Dược phẩm Trung ương Sông Hồng",
    "Công ty CP Dược và Thiết bị Y tế Bình Minh",
    "Công ty CP Thương mại Dược phẩm Đông Á",
    "Công ty CP Dược Hậu Giang - Chi nhánh TP. Hồ Chí Minh",
    "Công ty TNHH Dược phẩm Hòa Bình",
    "Công ty TNHH Dược phẩm Tâm Đức",
    "Công ty TNHH MTV Dược Sài Gòn Xanh",
    "Công ty TNHH Phân phối Dược Phú Thịnh",
    "Công ty TNHH Thương mại & Dược phẩm Minh Châu",
    "Công ty TNHH Zuellig Pharma Việt Nam",
    "Chi nhánh Công ty CP Dược phẩm Miền Tây tại Cần Thơ",
)

_FAMILY_NAMES = (
    *("Nguyễn", "Nguyễn", "Nguyễn", "Trần", "Trần", "Lê", "Lê", "Phạm", "Huỳnh", "Hoàng", "Phan", "Vũ", "Võ"),
    *("Đặng", "Bùi", "Đỗ", "Hồ", "Ngô", "Dương", "Lý", "Đinh", "Trương", "Mai", "Tạ"),
)
_NAMES_OF_WOMEN = (
    ("Thị", "Thị", "Thị Thu", "Thị Ngọc", "Thị Thanh", "Ngọc", "Thu", "Thùy", "Phương", "Kim", "Bảo"),
    ("Lan", "Hương", "Hạnh", "Trang", "Linh", "Thảo", "Yến", "Nhung", "Oanh", "Diễm", "Quyên", "Tuyết"),
)
_NAMES_OF_MEN = (
    ("Văn", "Văn", "Hữu", "Đức", "Minh", "Quốc", "Anh", "Thanh", "Công", "Xuân", "Gia"),
    ("Hùng", "Dũng", "Tuấn", "Nam", "Phúc", "Khoa", "Long", "Thắng", "Bình", "Đạt", "Huy", "Khánh", "Sơn"),
)

_NOTES_OF_RECEIPTS = (
    "Nhập hàng theo đơn đặt hàng tuần.",
    "Hàng gấp, nhà thuốc đang hết tồn.",
    "Đã kiểm đếm đủ số lượng, đúng lô và hạn dùng.",
    "Hàng khuyến mại kèm theo, đơn giá 0 đồng.",
    "Giao lần 2, bổ sung phần còn thiếu của đơn trước.",
    "Hóa đơn VAT gửi sau.",
)
_NOTES_OF_ISSUES = (
    "Điều chuyển theo yêu cầu của cơ sở nhận.",
    "Cân đối tồn kho cuối tháng giữa các nhà thuốc.",
    "Thuốc cận hạn, chuyển về cơ sở bán nhanh hơn.",
    "Hàng lỗi bao bì, đã lập biên bản.",
    "Đã niêm phong thùng, người nhận kiểm tra trước khi ký.",
    "Giao cùng chuyến xe buổi chiều.",
)
_AWKWARD_NOTES = (
    'Thùng ghi "HÀNG DỄ VỠ", đã kiểm tra: không vỡ.',
    "NCC ghi tên 'Panadol' trên hóa đơn; đúng phải là 'Panadol Extra'.",
    "Đã nhận đủ hàng 👍 cảm ơn shipper 🙏",
    "Kiểm hàng:\n- Thùng 1: đủ\n- Thùng 2: móp góc, thuốc còn nguyên\n- Thùng 3: đủ",
    "Bảo quản 2°C ≤ nhiệt độ ≤ 8°C; nhận hàng lúc 10:05\tnhiệt kế báo 5°C.",
    "Lưu ở kệ A\\3 & tủ lạnh <số 2>; còn hạn > 12 tháng, chiết khấu 3%.",
)
_SENTENCES_OF_LONG_NOTES = (
    "Biên bản giao nhận đã được hai bên ký và đóng dấu giáp lai.",
    "Nhân viên kho đối chiếu từng số lô với hóa đơn trước khi nhập lên kệ.",
    "Hai thùng ngoài bị ẩm nhẹ do trời mưa nhưng bao bì bên trong khô ráo.",
    "Đề nghị kế toán đối chiếu công nợ với nhà cung cấp trước ngày 25 hằng tháng.",
    "Các thuốc bảo quản lạnh được chuyển vào tủ trong vòng 10 phút kể từ khi nhận.",
    "Lô cận hạn được xếp phía trước theo nguyên tắc hết hạn trước xuất trước.",
    "Dược sĩ phụ trách chuyên môn đã kiểm tra số đăng ký và tình trạng niêm phong.",
    "Phần chênh lệch so với đơn đặt hàng sẽ được giao bù trong đợt kế tiếp.",
    "Nhà thuốc đề nghị chuyển bớt hàng tồn chậm sang cơ sở lân cận có nhu cầu cao hơn.",
)

_QUANTITIES_SOLD_LOOSE = (2, 4, 6, 10, 10, 10, 12, 14, 20, 20, 21, 28, 30, 30, 60)
_QUANTITIES_IN_STOCK = (1, 2, 3, 5, 5, 10, 10, 12, 20, 24, 30, 50, 100)
_CENT = Decimal("0.01")
_FREE = Decimal("0.00")
"""Goods that a supplier adds to a delivery, gifts with a purchase."""


def _chance(rng: Random, probability: float) -> bool:
    return rng.random() < probability


def _person(rng: Random) -> str:
    middle_names, given_names = rng.choice((_NAMES_OF_WOMEN, _NAMES_OF_MEN))
    return " ".join(rng.choice(names) for names in (_FAMILY_NAMES, middle_names, given_names))


def _customer(rng: Random) -> str | None:
    if _chance(rng, 0.05):
        return None
    return "Khách lẻ" if _chance(rng, 0.5) else _person(rng)


def _prescription_code(rng: Random) -> str:
    """In the shape of a national prescription code: clinic (5 digits), 7 letters or digits, type."""
    number = "".join(rng.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=7))
    return f"{rng.randrange(1_000, 99_999):05d}{number}-{rng.choice('ccchn')}"


def _note(rng: Random, usual_notes: Sequence[str]) -> str | None:
    if _chance(rng, 0.45):
        return None
    if _chance(rng, 0.12):
        return " ".join(rng.sample(_SENTENCES_OF_LONG_NOTES, k=rng.randint(6, 9)))
    return rng.choice(_AWKWARD_NOTES if _chance(rng, 0.15) else usual_notes)


def _working_time(rng: Random, day: date) -> datetime:
    """A moment between 07:30 and 17:00, local time."""
    opening = datetime.combine(day, time(7, 30))
    return opening + timedelta(seconds=rng.randrange(int(9.5 * 3600)))


def _years_later(day: date, years: int) -> date:
    """The same day of a later year, and the 28th for the days that not every month has."""
    return day.replace(year=day.year + years, day=min(day.day, 28))


def _status(rng: Random) -> int | None:
    return None if _chance(rng, 0.05) else 0


# --- What the three kinds hold ---------------------------------------------------------------------


def _receipt_header(rng: Random, code: str, facility: Facility, day: date) -> Header:
    received_at = _working_time(rng, day)
    loai_phieu_nhap, supplier = _source_of_goods(rng)
    return {
        "ma_phieu": code,
        "ma_phieu_nhap_quoc_gia": None,
        "ma_co_so": facility.ma_co_so,
        "ngay_nhap": received_at,
        "loai_phieu_nhap": loai_phieu_nhap,
        "ghi_chu": _note(rng, _NOTES_OF_RECEIPTS),
        "ten_co_so_cung_cap": supplier,
        "dateinsert": received_at + timedelta(minutes=rng.randint(2, 55)),
        "status_phieu": _status(rng),
        "note_log": None,
    }


def _source_of_goods(rng: Random) -> tuple[int, str | None]:
    """1 bought from a supplier, 2 brought back by a customer, 3 opening stock."""
    loai_phieu_nhap = rng.choice((1, 1, 1, 1, 1, 1, 1, 1, 2, 3))
    return loai_phieu_nhap, {1: rng.choice(SUPPLIERS), 2: "Khách hàng trả lại"}.get(loai_phieu_nhap)


def _issue_header(rng: Random, code: str, facility: Facility, day: date) -> Header:
    loai_phieu_xuat, recipient = _destination_of_goods(rng, facility)
    return {
        "ma_phieu": code,
        "ma_phieu_xuat_quoc_gia": None,
        "ma_co_so": facility.ma_co_so,
        "shop_code": facility.shop_code,
        "ngay_xuat": day,
        "loai_phieu_xuat": loai_phieu_xuat,
        "ghi_chu": _note(rng, _NOTES_OF_ISSUES),
        "ten_co_so_nhan": recipient,
        "dateinsert": _working_time(rng, day),
        "status_phieu": _status(rng),
        "note_log": None,
    }


def _destination_of_goods(rng: Random, sender: Facility) -> tuple[int, str | None]:
    """1 moved to another shop, 2 returned to the supplier, 3 destroyed."""
    loai_phieu_xuat = rng.choice((1, 1, 1, 1, 2, 2, 3))
    other_shops = [facility.name for facility in FACILITIES if facility != sender]
    return loai_phieu_xuat, {1: rng.choice(other_shops), 2: rng.choice(SUPPLIERS)}.get(loai_phieu_xuat)


def _invoice_header(rng: Random, code: str, facility: Facility, day: date) -> Header:
    return {
        "ma_hoa_don": code,
        "ma_hoa_don_quoc_gia": None,
        "ma_co_so": facility.ma_co_so,
        "ma_don_thuoc_quoc_gia": _prescription_code(rng) if _chance(rng, 0.3) else None,
        "ngay_ban": day,
        "ho_ten_khach_hang": _customer(rng),
        "ho_ten_nguoi_ban": _person(rng),
        "status_phieu": _status(rng),
        "note_log": None,
    }


def _lot(rng: Random, medicine: Medicine, day: date) -> Line:
    """A lot still good for some months on that day; its number tells the day it was made, so lots agree."""
    made = day - timedelta(days=rng.randint(45, 365 * medicine.shelf_life_years - 150))
    return {
        "so_lo": f"{medicine.lot_prefix}{made:%y%m%d}",
        "ngay_san_xuat": None if _chance(rng, 0.1) else made,
        "han_dung": _years_later(made, medicine.shelf_life_years),
    }


def _receipt_line(rng: Random, medicine: Medicine, day: date) -> Line:
    so_luong = _stock_quantity(rng)
    don_gia = _FREE if _chance(rng, 0.05) else _price_per_pack(rng, medicine)
    return {**_pack_line(rng, medicine, day, so_luong, don_gia), "thanh_tien": so_luong * don_gia}


def _issue_line(rng: Random, medicine: Medicine, day: date) -> Line:
    return _pack_line(rng, medicine, day, _stock_quantity(rng), _price_per_pack(rng, medicine))


def _pack_line(rng: Random, medicine: Medicine, day: date, so_luong: int, don_gia: Decimal) -> Line:
    return {
        "ma_thuoc": medicine.ma_thuoc,
        "ten_thuoc": medicine.ten_thuoc,
        **_lot(rng, medicine, day),
        "so_dklh": None if _chance(rng, 0.06) else medicine.so_dang_ky,
        "so_luong": so_luong,
        "don_gia": don_gia,
        "don_vi_tinh": medicine.pack_unit,
    }


def _stock_quantity(rng: Random) -> int:
    """Packs; now and then what only a warehouse handles."""
    return rng.randrange(1_000, 20_000, 500) if _chance(rng, 0.02) else rng.choice(_QUANTITIES_IN_STOCK)


def _price_per_pack(rng: Random, medicine: Medicine) -> Decimal:
    """The purchase price less a discount in per cent, some of which leave a fraction of a đồng."""
    discount = rng.choice((0, 0, 0, 0, 3, 5)) + rng.choice((0, 0, Decimal("0.35")))
    return (medicine.purchase_price * medicine.pack_size * (100 - discount) / Decimal(100)).quantize(_CENT)


def _invoice_line(rng: Random, medicine: Medicine, day: date) -> Line:
    don_vi_tinh, ty_le_quy_doi, so_luong = _sold_as(rng, medicine)
    don_gia = _FREE if _chance(rng, 0.03) else Decimal(medicine.retail_price * ty_le_quy_doi).quantize(_CENT)
    return {
        "ma_thuoc": medicine.ma_thuoc,
        "ten_thuoc": medicine.ten_thuoc,
        **_lot(rng, medicine, day),
        "don_vi_tinh": don_vi_tinh,
        "ham_luong": medicine.ham_luong,
        "duong_dung": medicine.duong_dung,
        "lieu_dung": None if _chance(rng, 0.08) else medicine.lieu_dung,
        "so_dang_ky": None if _chance(rng, 0.05) else medicine.so_dang_ky,
        "so_luong": so_luong,
        "don_gia": don_gia,
        "thanh_tien": so_luong * don_gia,
        "ty_le_quy_doi": Decimal(ty_le_quy_doi).quantize(Decimal("0.0001")),
    }


def _sold_as(rng: Random, medicine: Medicine) -> tuple[str, int, int]:
    """Unit, how many of the smallest unit it holds, quantity: loose tablets, or whole packs."""
    if medicine.pack_size > 1 and _chance(rng, 0.3):
        packs = rng.randrange(50, 2_000, 10) if _chance(rng, 0.05) else rng.randint(1, 3)
        return medicine.pack_unit, medicine.pack_size, packs
    if medicine.don_vi_tinh == "Viên":
        return medicine.don_vi_tinh, 1, min(rng.choice(_QUANTITIES_SOLD_LOOSE), medicine.pack_size)
    return medicine.don_vi_tinh, 1, rng.choice((1, 1, 1, 2, 2, 3, 5))


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What differs between the kinds."""

    kind: str
    code_prefix: str
    youngest_days: int
    """1 where a row holds a time of day, which must not lie in the future whenever the sample is made."""
    line_counts: Sequence[int]
    header: Callable[[Random, str, Facility, date], Header]
    line: Callable[[Random, Medicine, date], Line]


_RECIPES: Mapping[str, _Recipe] = {
    recipe.kind: recipe
    for recipe in (
        _Recipe(
            kind="phieu_nhap",
            code_prefix="PN",
            youngest_days=1,
            line_counts=(1, 2, 3, 4, 5, 6, 7, 8),
            header=_receipt_header,
            line=_receipt_line,
        ),
        _Recipe(
            kind="phieu_xuat",
            code_prefix="PX",
            youngest_days=1,
            line_counts=(1, 1, 2, 2, 3, 4, 5, 6, 8),
            header=_issue_header,
            line=_issue_line,
        ),
        _Recipe(
            kind="hoa_don",
            code_prefix="HD",
            youngest_days=0,
            line_counts=(1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 7, 8),
            header=_invoice_header,
            line=_invoice_line,
        ),
    )
}

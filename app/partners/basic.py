"""The default partner API (`PARTNER_PROFILE=basic`): HTTP Basic, flat header plus `items`, one POST per document."""

import re
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from app.documents import HOA_DON, PHIEU_NHAP, PHIEU_XUAT
from app.partners.profile import Endpoint, Payload, Profile

_LOCAL_TIME = ZoneInfo("Asia/Ho_Chi_Minh")
_ISO_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|$)")


def _as_date(value: Any) -> date:
    """Dates come as dates, as datetimes from views, or as ISO text from SQLite; numbers are none."""
    if type(value) is date:
        return value
    return _day(value) if type(value) is str else _as_local_time(value).date()


@lru_cache(maxsize=4096)
def _day(text: str) -> date:
    return _as_local_time(text).date()


def _as_local_time(value: Any) -> datetime:
    """A naive local time to the second; what carries an offset is converted."""
    if isinstance(value, str):
        value = _parsed(value.strip())
    if type(value) is date:
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001  local, as on the wire
    if not isinstance(value, datetime):
        raise PydanticCustomError("not_a_time", "neither a date nor a time")
    try:
        local = value.astimezone(_LOCAL_TIME) if value.tzinfo else value
    except OverflowError as error:
        raise PydanticCustomError("not_a_time", "outside the calendar") from error
    return local.replace(tzinfo=None, microsecond=0)


def _parsed(text: str) -> datetime:
    if not _ISO_MOMENT.match(text):
        raise PydanticCustomError("not_a_time", "not an ISO date or time")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise PydanticCustomError("not_a_time", "not an ISO date or time") from error


def _exact(places: int) -> BeforeValidator:
    """SQLite keeps decimals as binary floats; rounding to the column's scale gives back what was written."""

    def from_float(value: Any) -> Any:
        if isinstance(value, float) and abs(value) < 1e18:
            return Decimal(f"{value:.{places}f}")
        return value

    return BeforeValidator(from_float)


# Only of text with a bound does pydantic look at every character: a lone surrogate (half a character, which nvarchar
# can hold) cannot be sent as UTF-8.
Text = Annotated[str, Field(max_length=2**31 - 1)]
Day = Annotated[date, BeforeValidator(_as_date)]
LocalTime = Annotated[datetime, BeforeValidator(_as_local_time)]
Quantity = Annotated[int, Field(gt=0, le=2**31 - 1)]
WholeNumber = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Money = Annotated[Decimal, _exact(2)]
Ratio = Annotated[Decimal, _exact(4)]


def _from(column: str, wire: str, label: str, **rules: Any) -> Any:
    """A field read from a source column, written under the partner's name, spoken of by its Vietnamese label."""
    return Field(validation_alias=column, serialization_alias=wire, title=label, **rules)


def _optional(column: str, wire: str, label: str) -> Any:
    return _from(column, wire, label, default=None)


class _Dated(Payload):
    """What all lines share: a lot that does not expire before it was made."""

    manufacture_date: Day | None = _optional("ngay_san_xuat", "manufactureDate", "ngày sản xuất")
    expiry_date: Day = _from("han_dung", "expiryDate", "hạn dùng")

    @field_validator("expiry_date")
    @classmethod
    def _not_before_manufacture(cls, expiry: date, info: ValidationInfo) -> date:
        made = info.data.get("manufacture_date")
        if made is not None and expiry < made:
            sentence = f"hạn dùng ({expiry:%d/%m/%Y}) trước ngày sản xuất ({made:%d/%m/%Y})"
            raise PydanticCustomError("expiry_before_manufacture", "expiry before manufacture", {"sentence": sentence})
        return expiry


class _MedicineLine(_Dated):
    code: Text = _from("ma_thuoc", "medicineCode", "mã thuốc")
    name: Text = _from("ten_thuoc", "medicineName", "tên thuốc")
    lot: Text = _from("so_lo", "batchNumber", "số lô")
    quantity: Quantity = _from("so_luong", "quantity", "số lượng")
    unit_price: Money = _from("don_gia", "unitPrice", "đơn giá", ge=0)
    unit: Text = _from("don_vi_tinh", "unit", "đơn vị tính")


class _StockLine(_MedicineLine):
    registration: Text | None = _optional("so_dklh", "registrationNumber", "số đăng ký lưu hành")


class _ReceiptLine(_StockLine):
    amount: Money | None = _optional("thanh_tien", "amount", "thành tiền")


class _InvoiceLine(_MedicineLine):
    registration: Text | None = _optional("so_dang_ky", "registrationNumber", "số đăng ký")
    strength: Text | None = _optional("ham_luong", "strength", "hàm lượng")
    route: Text | None = _optional("duong_dung", "route", "đường dùng")
    dosage: Text | None = _optional("lieu_dung", "dosage", "liều dùng")
    amount: Money | None = _optional("thanh_tien", "amount", "thành tiền")
    conversion_ratio: Ratio | None = _optional("ty_le_quy_doi", "conversionRatio", "tỷ lệ quy đổi")


class Receipt(Payload):
    """A goods receipt as the partner takes it."""

    code: Text = _from("ma_phieu", "invoiceCode", "mã phiếu")
    facility: Text = _from("ma_co_so", "facilityCode", "mã cơ sở")
    date: LocalTime = _from("ngay_nhap", "importDate", "ngày nhập")
    type: WholeNumber = _from("loai_phieu_nhap", "importType", "loại phiếu nhập")
    supplier: Text | None = _optional("ten_co_so_cung_cap", "supplierName", "tên cơ sở cung cấp")
    note: Text | None = _optional("ghi_chu", "note", "ghi chú")
    items: list[_ReceiptLine] = Field(title="dòng thuốc", min_length=1)


class Issue(Payload):
    """A goods issue as the partner takes it."""

    code: Text = _from("ma_phieu", "invoiceCode", "mã phiếu")
    facility: Text = _from("ma_co_so", "facilityCode", "mã cơ sở")
    date: Day = _from("ngay_xuat", "exportDate", "ngày xuất")
    type: WholeNumber = _from("loai_phieu_xuat", "exportType", "loại phiếu xuất")
    recipient: Text | None = _optional("ten_co_so_nhan", "recipientName", "tên cơ sở nhận")
    note: Text | None = _optional("ghi_chu", "note", "ghi chú")
    items: list[_StockLine] = Field(title="dòng thuốc", min_length=1)


class Invoice(Payload):
    """A sales invoice as the partner takes it."""

    code: Text = _from("ma_hoa_don", "billCode", "mã hóa đơn")
    facility: Text = _from("ma_co_so", "facilityCode", "mã cơ sở")
    date: Day = _from("ngay_ban", "saleDate", "ngày bán")
    prescription: Text | None = _optional("ma_don_thuoc_quoc_gia", "prescriptionCode", "mã đơn thuốc quốc gia")
    seller: Text | None = _optional("ho_ten_nguoi_ban", "sellerName", "họ tên người bán")
    customer: Text | None = _optional("ho_ten_khach_hang", "customerName", "họ tên khách hàng")
    items: list[_InvoiceLine] = Field(title="dòng thuốc", min_length=1)


BASIC = Profile(
    name="basic",
    endpoints={
        PHIEU_NHAP.name: Endpoint("phieunhap", Receipt, "ma_phieu_nhap_quoc_gia"),
        PHIEU_XUAT.name: Endpoint("phieuxuat", Issue, "ma_phieu_xuat_quoc_gia"),
        HOA_DON.name: Endpoint("hoadon", Invoice, "ma_hoa_don_quoc_gia", HOA_DON.personal_columns),
    },
)

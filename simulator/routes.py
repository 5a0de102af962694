"""What the partner takes: one :class:`Route` per kind. A further kind is one further entry of ``ROUTES``.

Lengths are those of the columns the values come from; ``prescriptionCode`` has no documented length
and gets that of the other national codes.
"""

from dataclasses import dataclass

from simulator.validation import Field, FieldTable, decimal, integer, iso_date, iso_datetime, table, text


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: where a kind is posted, its fields, and what its reply calls the national code."""

    kind: str
    path: str
    code_field: str
    date_field: str
    national_code_field: str
    national_code_prefix: str
    header: FieldTable
    line: FieldTable


_FACILITY = Field("facilityCode", "mã cơ sở", text(50))
_NOTE = Field("note", "ghi chú", text(), required=False)


def _medicine(name_length: int) -> tuple[Field, ...]:
    """The fields that every line of every kind has."""
    return (
        Field("medicineCode", "mã thuốc", text(50)),
        Field("medicineName", "tên thuốc", text(name_length)),
        Field("batchNumber", "số lô", text(50)),
        Field("manufactureDate", "ngày sản xuất", iso_date, required=False),
        Field("expiryDate", "hạn dùng", iso_date),
        Field("registrationNumber", "số đăng ký", text(50), required=False),
        Field("quantity", "số lượng", integer(above=0)),
        Field("unitPrice", "đơn giá", decimal(2, at_least=0)),
        Field("unit", "đơn vị tính", text(50)),
    )


_AMOUNT = Field("amount", "thành tiền", decimal(2), required=False)

ROUTES = (
    Route(
        kind="phieu_nhap",
        path="/phieunhap",
        code_field="invoiceCode",
        date_field="importDate",
        national_code_field="ma_phieu_nhap_quoc_gia",
        national_code_prefix="QG-PN",
        header=table(
            Field("invoiceCode", "mã phiếu", text(50)),
            _FACILITY,
            Field("importDate", "ngày nhập", iso_datetime),
            Field("importType", "loại phiếu nhập", integer()),
            Field("supplierName", "tên cơ sở cung cấp", text(255), required=False),
            _NOTE,
        ),
        line=table(*_medicine(255), _AMOUNT),
    ),
    Route(
        kind="phieu_xuat",
        path="/phieuxuat",
        code_field="invoiceCode",
        date_field="exportDate",
        national_code_field="ma_phieu_xuat_quoc_gia",
        national_code_prefix="QG-PX",
        header=table(
            Field("invoiceCode", "mã phiếu", text(50)),
            _FACILITY,
            Field("exportDate", "ngày xuất", iso_date),
            Field("exportType", "loại phiếu xuất", integer()),
            Field("recipientName", "tên cơ sở nhận", text(255), required=False),
            _NOTE,
        ),
        line=table(*_medicine(255)),
    ),
    Route(
        kind="hoa_don",
        path="/hoadon",
        code_field="billCode",
        date_field="saleDate",
        national_code_field="ma_hoa_don_quoc_gia",
        national_code_prefix="QG-HD",
        header=table(
            Field("billCode", "mã hóa đơn", text(50)),
            _FACILITY,
            Field("saleDate", "ngày bán", iso_date),
            Field("prescriptionCode", "mã đơn thuốc quốc gia", text(250), required=False),
            Field("sellerName", "họ tên người bán", text(255), required=False),
            Field("customerName", "họ tên khách hàng", text(255), required=False),
        ),
        line=table(
            *_medicine(500),
            Field("strength", "hàm lượng", text(100), required=False),
            Field("route", "đường dùng", text(100), required=False),
            Field("dosage", "liều dùng", text(255), required=False),
            _AMOUNT,
            Field("conversionRatio", "tỷ lệ quy đổi", decimal(4), required=False),
        ),
    ),
)

ROUTES_BY_PATH = {route.path: route for route in ROUTES}
KINDS = tuple(route.kind for route in ROUTES)

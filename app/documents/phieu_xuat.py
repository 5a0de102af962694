"""Goods issues (phiếu xuất) in the source database."""

from sqlalchemy import DATE, Column, Integer, Unicode

from app.documents.kind import DocumentKind, LongText, header_table, inserted_at, line_table, medicine_columns

_header = header_table(
    "PhieuXuatHeader",
    "ma_phieu",
    Column("ma_phieu_xuat_quoc_gia", Unicode(250)),
    Column("ma_co_so", Unicode(50)),
    Column("shop_code", Integer),
    Column("ngay_xuat", DATE),
    Column("loai_phieu_xuat", Integer),
    Column("ghi_chu", LongText),
    Column("ten_co_so_nhan", Unicode(255)),
    inserted_at(),
)

PHIEU_XUAT = DocumentKind(
    name="phieu_xuat",
    labels={"vi": "Phiếu xuất", "en": "Goods issue"},
    header=_header,
    lines=line_table(
        "PhieuXuatDetail",
        "ma_phieu",
        _header,
        *medicine_columns(),
        Column("don_vi_tinh", Unicode(50)),
    ),
    code_column="ma_phieu",
    date_column="ngay_xuat",
    national_code_column="ma_phieu_xuat_quoc_gia",
)

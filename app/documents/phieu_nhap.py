"""Goods receipts (phiếu nhập) in the source database."""

from sqlalchemy import Column, DateTime, Integer, Unicode

from app.documents.kind import (
    DocumentKind,
    LongText,
    Money,
    header_table,
    inserted_at,
    line_table,
    medicine_columns,
)

_header = header_table(
    "PhieuNhapHeader",
    "ma_phieu",
    Column("ma_phieu_nhap_quoc_gia", Unicode(250)),
    Column("ma_co_so", Unicode(50)),
    Column("ngay_nhap", DateTime),
    Column("loai_phieu_nhap", Integer),
    Column("ghi_chu", LongText),
    Column("ten_co_so_cung_cap", Unicode(255)),
    inserted_at(),
)

PHIEU_NHAP = DocumentKind(
    name="phieu_nhap",
    labels={"vi": "Phiếu nhập", "en": "Goods receipt"},
    header=_header,
    lines=line_table(
        "PhieuNhapDetail",
        "ma_phieu",
        _header,
        *medicine_columns(),
        Column("thanh_tien", Money()),
        Column("don_vi_tinh", Unicode(50)),
    ),
    code_column="ma_phieu",
    date_column="ngay_nhap",
    national_code_column="ma_phieu_nhap_quoc_gia",
)

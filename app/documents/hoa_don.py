"""Sales invoices (hóa đơn bán) in the source database."""

from sqlalchemy import DATE, Column, Integer, Unicode

from app.documents.kind import DocumentKind, Money, Ratio, header_table, line_table

_header = header_table(
    "HoaDonHeader",
    "ma_hoa_don",
    Column("ma_hoa_don_quoc_gia", Unicode(250)),
    Column("ma_co_so", Unicode(50)),
    Column("ma_don_thuoc_quoc_gia", Unicode(250)),
    Column("ngay_ban", DATE),
    Column("ho_ten_khach_hang", Unicode(255)),
    Column("ho_ten_nguoi_ban", Unicode(255)),
)

HOA_DON = DocumentKind(
    name="hoa_don",
    labels={"vi": "Hóa đơn bán", "en": "Sales invoice"},
    header=_header,
    lines=line_table(
        "HoaDonDetail",
        "ma_hoa_don",
        _header,
        Column("ma_thuoc", Unicode(50)),
        Column("ten_thuoc", Unicode(500)),
        Column("so_lo", Unicode(50)),
        Column("ngay_san_xuat", DATE),
        Column("han_dung", DATE),
        Column("don_vi_tinh", Unicode(50)),
        Column("ham_luong", Unicode(100)),
        Column("duong_dung", Unicode(100)),
        Column("lieu_dung", Unicode(255)),
        Column("so_dang_ky", Unicode(50)),
        Column("so_luong", Integer),
        Column("don_gia", Money()),
        Column("thanh_tien", Money()),
        Column("ty_le_quy_doi", Ratio()),
    ),
    code_column="ma_hoa_don",
    date_column="ngay_ban",
    national_code_column="ma_hoa_don_quoc_gia",
    optional_columns=frozenset({"ma_hoa_don_quoc_gia"}),
    personal_columns=frozenset({"ho_ten_khach_hang", "ho_ten_nguoi_ban"}),
)

"""What people call the columns of the source, by language."""

_LABELS: dict[str, tuple[str, str]] = {
    "ma_phieu": ("Mã phiếu", "Code"),
    "ma_hoa_don": ("Mã hóa đơn", "Code"),
    "ma_phieu_nhap_quoc_gia": ("Mã phiếu nhập quốc gia", "National code"),
    "ma_phieu_xuat_quoc_gia": ("Mã phiếu xuất quốc gia", "National code"),
    "ma_hoa_don_quoc_gia": ("Mã hóa đơn quốc gia", "National code"),
    "ma_don_thuoc_quoc_gia": ("Mã đơn thuốc quốc gia", "Prescription"),
    "ma_co_so": ("Mã cơ sở", "Facility"),
    "shop_code": ("Mã cửa hàng", "Shop"),
    "ngay_nhap": ("Ngày nhập", "Received on"),
    "ngay_xuat": ("Ngày xuất", "Issued on"),
    "ngay_ban": ("Ngày bán", "Sold on"),
    "loai_phieu_nhap": ("Loại phiếu nhập", "Type of receipt"),
    "loai_phieu_xuat": ("Loại phiếu xuất", "Type of issue"),
    "ghi_chu": ("Ghi chú", "Note"),
    "ten_co_so_cung_cap": ("Cơ sở cung cấp", "Supplier"),
    "ten_co_so_nhan": ("Cơ sở nhận", "Recipient"),
    "ho_ten_khach_hang": ("Họ tên khách hàng", "Customer"),
    "ho_ten_nguoi_ban": ("Họ tên người bán", "Seller"),
    "dateinsert": ("Lúc ghi dòng", "Row written at"),
    "status_phieu": ("Trạng thái nguồn", "Source status"),
    "note_log": ("Ghi chú xử lý", "Processing note"),
    "ma_thuoc": ("Mã thuốc", "Medicine"),
    "ten_thuoc": ("Tên thuốc", "Name"),
    "so_lo": ("Số lô", "Lot"),
    "ngay_san_xuat": ("Ngày sản xuất", "Made on"),
    "han_dung": ("Hạn dùng", "Expires on"),
    "so_dklh": ("Số đăng ký lưu hành", "Registration"),
    "so_dang_ky": ("Số đăng ký", "Registration"),
    "so_luong": ("Số lượng", "Quantity"),
    "don_gia": ("Đơn giá", "Unit price"),
    "thanh_tien": ("Thành tiền", "Amount"),
    "don_vi_tinh": ("Đơn vị tính", "Unit"),
    "ham_luong": ("Hàm lượng", "Strength"),
    "duong_dung": ("Đường dùng", "Route"),
    "lieu_dung": ("Liều dùng", "Dosage"),
    "ty_le_quy_doi": ("Tỷ lệ quy đổi", "Conversion ratio"),
}


def column_label(column: str, language: str) -> str:
    """What people call a column (`vi` or `en`); its own name where nobody said."""
    vietnamese, english = _LABELS.get(column, (column, column))
    return vietnamese if language == "vi" else english

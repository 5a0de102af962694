"""Documents as the partner wants them, written out by hand: complete, and with only what is required."""

import copy
import json
from typing import Any

_LINE = {
    "medicineCode": "T001",
    "medicineName": "Paracetamol 500mg",
    "batchNumber": "L2026-01",
    "manufactureDate": "2025-01-31",
    "expiryDate": "2027-01-31",
    "registrationNumber": "VD-12345-20",
    "quantity": 3,
    "unitPrice": 1250.5,
    "unit": "Viên",
}

COMPLETE: dict[str, dict[str, Any]] = {
    "phieu_nhap": {
        "invoiceCode": "PN-1",
        "facilityCode": "CS001",
        "importDate": "2026-03-01T08:30:00",
        "importType": 1,
        "supplierName": "Công ty Dược Hậu Giang",
        "note": "Giao buổi sáng",
        "items": [{**_LINE, "amount": 3751.5}],
    },
    "phieu_xuat": {
        "invoiceCode": "PX-1",
        "facilityCode": "CS001",
        "exportDate": "2026-03-02",
        "exportType": 2,
        "recipientName": "Nhà thuốc số 7",
        "note": "Chuyển kho",
        "items": [dict(_LINE)],
    },
    "hoa_don": {
        "billCode": "HD-1",
        "facilityCode": "CS001",
        "saleDate": "2026-03-03",
        "prescriptionCode": "DT-2026-77",
        "sellerName": "Trần Thị Bán",
        "customerName": "Nguyễn Văn Khách",
        "items": [
            {
                **_LINE,
                "strength": "500 mg",
                "route": "Uống",
                "dosage": "Ngày 2 lần, mỗi lần 1 viên",
                "amount": 3751.5,
                "conversionRatio": 1.25,
            }
        ],
    },
}

REQUIRED_HEADER = {
    "phieu_nhap": ["invoiceCode", "facilityCode", "importDate", "importType"],
    "phieu_xuat": ["invoiceCode", "facilityCode", "exportDate", "exportType"],
    "hoa_don": ["billCode", "facilityCode", "saleDate"],
}
REQUIRED_LINE = ["medicineCode", "medicineName", "batchNumber", "expiryDate", "quantity", "unitPrice", "unit"]

PATHS = {"phieu_nhap": "/phieunhap", "phieu_xuat": "/phieuxuat", "hoa_don": "/hoadon"}
CODE_FIELDS = {"phieu_nhap": "invoiceCode", "phieu_xuat": "invoiceCode", "hoa_don": "billCode"}
NATIONAL_CODE_FIELDS = {
    "phieu_nhap": "ma_phieu_nhap_quoc_gia",
    "phieu_xuat": "ma_phieu_xuat_quoc_gia",
    "hoa_don": "ma_hoa_don_quoc_gia",
}
KINDS = list(PATHS)


def complete(kind: str, code: str | None = None) -> dict[str, Any]:
    """A document with every field it may have."""
    document = copy.deepcopy(COMPLETE[kind])
    if code is not None:
        document[CODE_FIELDS[kind]] = code
    return document


def minimal(kind: str) -> dict[str, Any]:
    """A document with only the fields it must have."""
    full = complete(kind)
    document = {name: full[name] for name in REQUIRED_HEADER[kind]}
    document["items"] = [{name: full["items"][0][name] for name in REQUIRED_LINE}]
    return document


def as_body(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8")

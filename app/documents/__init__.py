"""The kinds of documents Hermes knows, one file each. A further kind is one more file and one more line here."""

from app.documents.hoa_don import HOA_DON
from app.documents.kind import SOURCE, DocumentKind
from app.documents.labels import column_label
from app.documents.phieu_nhap import PHIEU_NHAP
from app.documents.phieu_xuat import PHIEU_XUAT

ALL_KINDS: tuple[DocumentKind, ...] = (PHIEU_NHAP, PHIEU_XUAT, HOA_DON)

KINDS: dict[str, DocumentKind] = {kind.name: kind for kind in ALL_KINDS}

__all__ = ["ALL_KINDS", "HOA_DON", "KINDS", "PHIEU_NHAP", "PHIEU_XUAT", "SOURCE", "DocumentKind", "column_label"]

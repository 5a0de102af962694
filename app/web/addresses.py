"""Addresses of pages that other pages link to."""

from urllib.parse import quote

from fastapi import Request


def document_path(kind: str, code: str) -> str:
    """The page of one document. A slash of its code is no slash of the address: browsers would resolve `..` there."""
    return f"/deliveries/{quote(kind, safe='')}/{quote(code, safe='')}"


def asked_path(request: Request) -> str:
    """The address as it was asked for, with its query. Not `request.url`, which knows it decoded: a code may hold `?`,
    `#` and `/../`."""
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path

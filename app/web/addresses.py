"""Addresses of pages that other pages link to."""

from urllib.parse import quote, urlencode

from fastapi import Request

STEPS = (".", "..")
"""Codes that browsers would take for steps along the path, however they are quoted."""


def document_path(kind: str, code: str, **query: str) -> str:
    """The page of one document. A slash of its code is no slash of the address: browsers would resolve `..` there."""
    path, asked = f"/deliveries/{quote(kind, safe='')}/{quote(code, safe='')}", query
    if code in STEPS:
        path, asked = f"/deliveries/{quote(kind, safe='')}/", {"dots": code, **query}
    return f"{path}?{urlencode(asked)}" if asked else path


def asked_path(request: Request) -> str:
    """The address as it was asked for, with its query. Not `request.url`, which knows it decoded: a code may hold `?`,
    `#` and `/../`."""
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path

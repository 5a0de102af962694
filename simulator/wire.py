"""Putting a reply on the wire, whole or broken in one of the scripted ways.

A dropped connection is dropped below HTTP: the client sees its peer vanish. Everything here may be
cancelled, because aiohttp cancels the handler of a client that has left.
"""

import asyncio
import time
from email.utils import formatdate

from aiohttp import web

from simulator.faults import (
    CodeIn200,
    CutAfterCommit,
    CutBeforeRead,
    Empty200,
    Garbage,
    HalfBody,
    HangAfterCommit,
    HangBeforeRead,
    Html200,
    HugeBody,
    Redirect,
    Rule,
    SlowBody,
    Status,
)
from simulator.replies import JSON, Reply, json_bytes

DRIPS = 20  # parts, at most, in which a slow body is sent
FILLER = b"x" * 65536

HTML = "text/html; charset=utf-8"
HTML_PAGE = (
    "<!DOCTYPE html><html lang='vi'><head><title>Bảo trì hệ thống</title></head>"
    "<body><h1>Hệ thống đang bảo trì</h1><p>Vui lòng quay lại sau.</p></body></html>"
).encode()
GARBAGE = b'{"ma_phieu_nhap_quoc_gia":"\xff\xfe\xc3\x28\x80","code":200}'

STATUS_TEXTS = {
    401: "Sai tên đăng nhập hoặc mật khẩu",
    403: "Tài khoản không có quyền thực hiện",
    404: "Không tìm thấy",
    408: "Hết thời gian chờ",
    429: "Gửi quá nhanh, vui lòng chờ",
    502: "Cổng kết nối gặp lỗi",
    503: "Hệ thống tạm ngừng phục vụ",
    504: "Hệ thống phía sau không trả lời",
}

DROPPED = "dropped"
"""How an exchange without a complete answer is counted; a complete one is counted by its status."""


def _substitute(fault: Rule, reply: Reply) -> Reply:
    """The complete answer that this fault gives instead of ``reply``; ``reply`` itself if it gives none."""
    match fault:
        case Status():
            return _status_reply(fault)
        case Html200():
            return Reply(200, HTML_PAGE, HTML)
        case CodeIn200():
            return Reply(200, json_bytes({"code": fault.code_in_body, "mess": fault.mess}))
        case Garbage():
            return Reply(200, GARBAGE)
        case Redirect():
            return Reply(302, b"", HTML, (("Location", fault.location),))
        case Empty200():
            return Reply(200, b"")
        case _:
            return reply


def _status_reply(fault: Status) -> Reply:
    headers: tuple[tuple[str, str], ...] = ()
    if fault.retry_after_seconds is not None:
        headers = (("Retry-After", _retry_after(fault)),)
    if isinstance(fault.body, str):
        return Reply(fault.status, fault.body.encode(), fault.content_type or "text/plain; charset=utf-8", headers)
    if fault.body is not None:
        return Reply(fault.status, json_bytes(fault.body), fault.content_type or JSON, headers)
    if fault.content_type is not None and fault.content_type.startswith("text/html"):
        return Reply(fault.status, HTML_PAGE, fault.content_type, headers)
    text = STATUS_TEXTS.get(fault.status, "Yêu cầu không được chấp nhận" if fault.status < 500 else "Lỗi hệ thống")
    body = json_bytes({"code": fault.status, "mess": text})
    return Reply(fault.status, body, fault.content_type or JSON, headers)


def _retry_after(fault: Status) -> str:
    seconds = fault.retry_after_seconds or 0
    if fault.retry_after_format == "http-date":
        return formatdate(time.time() + seconds, usegmt=True)
    return str(seconds)


async def send_broken(
    request: web.BaseRequest, fault: Rule, reply: Reply, hang_seconds: float
) -> tuple[web.StreamResponse, str]:
    """Lets ``fault`` strike while ``reply`` is to be sent; returns the response and how to count it."""
    match fault:
        case CutBeforeRead() | CutAfterCommit():
            return drop(request), DROPPED
        case HangBeforeRead() | HangAfterCommit():
            await asyncio.sleep(hang_seconds if fault.seconds is None else fault.seconds)
            return drop(request), DROPPED
        case HalfBody():
            return await _send_half(request, reply), DROPPED
        case SlowBody():
            return await _drip(request, reply, fault.seconds), str(reply.status)
        case HugeBody():
            return await _send_huge(request, reply, fault.megabytes), str(reply.status)
        case _:
            substitute = _substitute(fault, reply)
            return whole(substitute), str(substitute.status)


def whole(reply: Reply) -> web.StreamResponse:
    """The reply as it should be."""
    return web.Response(status=reply.status, body=reply.body, headers=_headers(reply))


def _headers(reply: Reply) -> dict[str, str]:
    return {"Content-Type": reply.content_type, **dict(reply.headers)}


def drop(request: web.BaseRequest) -> web.StreamResponse:
    """Drops the connection at once; the returned response never leaves the machine."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _start(request: web.BaseRequest, reply: Reply, length: int) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=_headers(reply))
    response.content_length = length
    await response.prepare(request)
    return response


async def _send_half(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    response = await _start(request, reply, len(reply.body))
    await response.write(reply.body[: len(reply.body) // 2])
    if request.transport is not None:
        request.transport.close()  # unlike abort(), lets the first half out
    return response


async def _drip(request: web.BaseRequest, reply: Reply, seconds: float) -> web.StreamResponse:
    response = await _start(request, reply, len(reply.body))
    size = -(-len(reply.body) // DRIPS)
    begins = range(0, len(reply.body), size)
    for begin in begins:
        await asyncio.sleep(seconds / len(begins))
        await response.write(reply.body[begin : begin + size])
    await response.write_eof()
    return response


async def _send_huge(request: web.BaseRequest, reply: Reply, megabytes: int) -> web.StreamResponse:
    """Streams the filler: the simulator's own memory does not grow with it."""
    opening, closing = b'{"filler":"', b'",' + reply.body[1:]
    if not reply.body.startswith(b"{"):  # a bare string has no room for a further field: blanks around it
        opening, closing = b"", reply.body
    filler = FILLER if opening else b" " * len(FILLER)
    blocks = megabytes * 1024 * 1024 // len(filler)
    response = await _start(request, reply, len(opening) + blocks * len(filler) + len(closing))
    await response.write(opening)
    for _ in range(blocks):
        await response.write(filler)
    await response.write_eof(closing)
    return response

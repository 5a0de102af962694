"""Files to be downloaded, sent piece by piece."""

from collections.abc import Iterator
from typing import IO

from fastapi.responses import Response, StreamingResponse

CSV = "text/csv; charset=utf-8"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_PIECE = 64 * 1024


def attachment(pieces: Iterator[bytes], name: str, media_type: str) -> Response:
    """An answer that is kept as a file of this name."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(pieces, media_type=media_type, headers=headers)


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """All of a file from its beginning; closes it."""
    file.seek(0)
    with file:
        while piece := file.read(_PIECE):
            yield piece

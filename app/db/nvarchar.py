"""How long a text is for SQL Server: nvarchar(n) holds n UTF-16 units, and most emoji take two."""


def units(text: str) -> int:
    """The length SQL Server counts."""
    return len(text) if text.isascii() else len(_encoded(text)) // 2


def cut(text: str, length: int | None) -> str:
    """The beginning that fits into nvarchar(length), never half a character; all of it where length is None."""
    if length is None or units(text) <= length:
        return text
    return _encoded(text)[: 2 * length].decode("utf-16-le", "ignore")


def _encoded(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")

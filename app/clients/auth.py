"""Who we are at the partner."""

from base64 import b64encode


def basic_authorization(username: str, password: str) -> str:
    """The `Authorization` header of RFC 7617, in UTF-8."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")

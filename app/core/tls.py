"""Telling failed TLS handshakes apart, whichever library reports them."""

import re

from app.domain.errors import HermesError

_FAULTS = {
    "tls_expired": r"certificate has expired|certificate is not yet valid|certificate.*expired",
    "tls_name": r"hostname mismatch|ip address mismatch|not valid for|doesn't match|target principal name is incorrect"
    r"|name.*mismatch",
    "tls_client": r"certificate required|handshake failure|bad certificate",
    "tls_authority": r"certificate verify failed|self.signed certificate|unable to get (local )?issuer"
    r"|authority that is not trusted",
    "tls_not_spoken": r"wrong.version.number|record.layer.failure|unexpected.eof|unknown protocol"
    r"|handshake operation timed out",
}


def tls_fault(error: BaseException) -> str | None:
    """What is wrong about TLS: `tls_expired`, `tls_name`, `tls_client` (it wants a certificate of ours),
    `tls_authority`, `tls_not_spoken`, or None when it is not about TLS."""
    text = full_text(error)
    return next((fault for fault, pattern in _FAULTS.items() if re.search(pattern, text, re.I)), None)


def full_text(error: BaseException | None) -> str:
    """An error's text and kind with those of its causes: libraries hide what happened behind what they were doing."""
    texts: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        texts.append(str(error) if isinstance(error, HermesError) else f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    return "\n".join(texts)

"""What pip, huggingface_hub and urllib say of a network that keeps a download away, in words that a user can act on.

No words quote an address: it may hold a password.
"""

from __future__ import annotations

from typing import Final

NOT_TRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"  # OpenSSL's word, in everybody's errors
ASKS_FOR_PASSWORD: Final = (
    "the proxy asks for a password, or refuses the one that it got; set HTTPS_PROXY to http://USER:PASSWORD@HOST:PORT"
)
_PROXY_REFUSES = "Tunnel connection failed: 407"  # http.client's words, in the errors of all three


def network_problem(output: str, whose: str, variable: str) -> str | None:
    """Return the words for a certificate or a proxy that `output` names as the cause; None if it names neither.

    whose: whose certificate it is, such as "the index's". variable: names a file of certificates that are to be
    trusted.
    """
    if NOT_TRUSTED in output:
        return f"{whose} certificate is not trusted here; name your proxy's certificates with {variable}"
    if _PROXY_REFUSES in output:
        return ASKS_FOR_PASSWORD
    return None

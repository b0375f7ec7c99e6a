"""Which URL an endpoint may have: one the sender can send to, and that shows no secret."""

from __future__ import annotations

import httpx

from gateway.errors import InvalidInputsError

URL_MAX = 2_048
"""Characters of an endpoint's URL."""

PORT_MAX = 65_535


def check_url(text: str) -> str:
    """Return the URL of an endpoint. Raises ``InvalidInputsError`` unless it is http or https.

    Addresses of a private network are welcome: that is where most receivers of a self-hosted
    gateway are. A password is not: lists show the URL, and the signature says who calls.
    """
    if len(text) > URL_MAX:
        raise InvalidInputsError(f"url: must have at most {URL_MAX} characters")
    try:
        url = httpx.URL(text)
        host = url.host  # Decoded here, which may fail too.
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidInputsError(f"url: is not a URL: {error}") from error
    if url.scheme not in {"http", "https"} or not host or "%" in host:
        raise InvalidInputsError("url: must be http:// or https:// and name a host")
    if url.port is not None and not 0 < url.port <= PORT_MAX:
        raise InvalidInputsError(f"url: its port must be 1..{PORT_MAX}")
    if url.userinfo:
        raise InvalidInputsError("url: must hold no user name or password")
    return str(url)

"""Which URLs an endpoint may have."""

from __future__ import annotations

import pytest

from gateway.errors import InvalidInputsError
from gateway.webhooks.urls import URL_MAX, check_url


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hooks?team=1",
        "http://10.0.0.7:9000/",
        "http://localhost/",
        "http://[::1]:8080/x",
    ],
)
def test_a_web_address_is_taken_a_private_one_too(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.com", "must be http:// or https://"),
        ("example.com/hook", "must be http:// or https://"),
        ("file:///etc/passwd", "must be http:// or https://"),
        ("http://", "name a host"),
        ("http://exa mple.com", "name a host"),
        ("http://h\n/", "is not a URL"),
        ("http://xn--/", "is not a URL"),
        ("http://h:0/", "its port must be 1..65535"),
        ("http://h:65536/", "its port must be 1..65535"),
        ("http://me:secret@h/", "no user name or password"),
        ("http://h/" + "x" * URL_MAX, "at most 2048 characters"),
    ],
)
def test_what_cannot_be_called_is_refused_by_name(url: str, message: str) -> None:
    with pytest.raises(InvalidInputsError, match=message) as refused:
        check_url(url)
    assert refused.value.message.startswith("url: ")
    assert "secret" not in refused.value.message

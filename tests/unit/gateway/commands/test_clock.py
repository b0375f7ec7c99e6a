"""``tallygate clock``: what it refuses before it asks anybody."""

from __future__ import annotations

import pytest

from gateway.commands.clock import clock
from gateway.errors import StartError
from tests.fixtures.app import KEY


def test_without_a_key_it_says_how_to_give_one() -> None:
    with pytest.raises(StartError, match=r"^no key; set TALLYGATE_KEY or give --key$"):
        clock(["show"], standalone_mode=False)


@pytest.mark.parametrize("key", ["am sk", "am_sk_test_\n", "am_sk_é"])
def test_a_key_that_fits_no_header_is_refused_and_not_repeated(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYGATE_KEY", key)

    with pytest.raises(StartError) as refused:
        clock(["show"], standalone_mode=False)
    assert refused.value.message == "the key holds a space or a character that no key has"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gateway:8080", "must be http:// or https:// and a host"),
        ("file:///etc/hosts", "must be http:// or https:// and a host"),
        ("http://", "must be http:// or https:// and a host"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://gateway:port", "Port could not be cast"),
    ],
)
def test_a_url_that_names_no_gateway_is_refused(url: str, message: str) -> None:
    with pytest.raises(StartError) as refused:
        clock(["advance", "30d", "--url", url, "--key", KEY], standalone_mode=False)
    assert refused.value.message.startswith(f"url {url}: {message}")

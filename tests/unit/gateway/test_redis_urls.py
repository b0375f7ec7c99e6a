"""What URLs name beside one server."""

from __future__ import annotations

import pytest

from gateway.redis_urls import Address, RedisUrl, read_url


@pytest.mark.parametrize(
    ("url", "plain", "hosts", "service"),
    [
        ("redis+sentinel://a/tally", "redis://", "a:26379", "tally"),
        (
            "redis+sentinel://u:p%40@b:1,a:2/my.master-1/3?sentinel_password=x&protocol=3",
            "redis://u:p%40@/3?sentinel_password=x&protocol=3",
            "b:1 a:2",
            "my.master-1",
        ),
        (
            "rediss+sentinel://:p,@[::1]:7,10.0.0.1,a,a/tally/",
            "rediss://:p,@/",
            "::1:7 10.0.0.1:26379 a:26379",
            "tally",
        ),
        ("redis+cluster://a", "redis://", "a:6379", ""),
        ("redis+cluster://a,b:7000/", "redis://", "a:6379 b:7000", ""),
        (
            "rediss+cluster://u:p%40@[::1]:7,a,a?protocol=3",
            "rediss://u:p%40@?protocol=3",
            "::1:7 a:6379",
            "",
        ),
    ],
)
def test_a_url_says_whom_to_ask_for_what(url: str, plain: str, hosts: str, service: str) -> None:
    read = read_url(url)
    assert (read.plain, " ".join(map(str, read.hosts)), read.service) == (plain, hosts, service)
    assert all(isinstance(one, Address) for one in read.hosts)


@pytest.mark.parametrize(
    "url", ["redis://a:1/2", "rediss://a+sentinel://b", "redis://a+cluster://b", "unix:///s?db=1"]
)
def test_a_url_of_one_server_is_left_as_it_is(url: str) -> None:
    assert read_url(url) == RedisUrl(url)


@pytest.mark.parametrize(
    "rest",
    [
        "sentinel://a:26379",
        "sentinel://a/",
        "sentinel://a/?db=1",
        "sentinel:///tally",
        "sentinel://a,,b/tally",
        "sentinel://a:0/tally",
        "sentinel://a:65536/tally",
        "sentinel://a:x/tally",
        "sentinel://a:1:2/tally",
        "sentinel://[::1/tally",
        "sentinel://a/tally/x",
        "sentinel://a/tally/1/2",
        "sentinel://a/ta lly",
        "sentinel://u:p/w@a:1/tally",
        "sentinel://u:1/w@a:1",
        "cluster:///",
        "cluster://a/0",  # a Cluster has one database
        "cluster://a/tally",
        "cluster://a,,b",
        "cluster://a:0",
        "cluster://u:p/w@a:1",
    ],
)
def test_a_url_that_says_it_otherwise_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"^not "):
        read_url(f"redis+{rest}")

"""The cache of what Keystone said of tokens: bounded in bytes and time."""

import pytest

from breezeblock.auth import token_cache
from breezeblock.auth.token_cache import TokenCache


def test_it_keeps_as_much_as_it_may_and_forgets_the_longest_unused():
    cache = TokenCache(most_bytes=10)
    cache.set("a", b"12345", time=60)
    cache.set("b", b"12345", time=60)
    assert cache.get("a") == b"12345"
    cache.set("c", b"123", time=60)
    assert [cache.get(key) for key in "abc"] == [b"12345", None, b"123"]
    cache.set("d", b"12345678901", time=60)
    assert cache.get("d") is None
    cache.set("a", b"1", time=60)
    cache.set("e", b"123456", time=60)
    assert [cache.get(key) for key in "ace"] == [b"1", b"123", b"123456"]


def test_it_keeps_nothing_longer_than_it_was_told(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(token_cache.time, "monotonic", lambda: now)
    cache = TokenCache(most_bytes=10)
    cache.set("a", b"1234567890", time=300)
    cache.set("never", b"1", time=-1)
    assert cache.get("never") is None
    now = 1299.0
    assert cache.get("a") == b"1234567890"
    now = 1301.0
    assert cache.get("a") is None
    cache.set("b", b"1234567890", time=300)
    assert cache.get("b") == b"1234567890"


@pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")  # webob, on Python 3.11
def test_the_middleware_keeps_tokens_in_it():
    """By the middleware's own code: it takes an empty cache for one, and finds again what it has put in."""
    from keystonemiddleware.auth_token import _cache

    tokens = _cache.TokenCache(None, cache_time=300, env_cache_name="ours")
    tokens.initialize({"ours": TokenCache()})
    tokens.set("secret-token", {"token": {"user": "jo"}})
    assert tokens.get("secret-token") == {"token": {"user": "jo"}}
    assert isinstance(tokens._cache_pool, _cache._EnvCachePool)
    assert "secret" not in repr(tokens._cache_pool._environment_cache._entries.keys())

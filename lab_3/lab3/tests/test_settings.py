"""Settings of the cache and the drain: an invalid value is one line with the variable and its allowed values."""

import pytest

from src.errors import StartupError
from src.settings import get_settings

INVALID_URLS = ["localhost", "http://:secret@host", "redis://host/zero", "redis://host?db=0", "redis://:secret/0"] + [
    f"redis://{rest}" for rest in (":secret", ":secret/word@host", ":secret[@host", ":secret@host:six", "host:65536")
]


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("CACHE_TTL_SECONDS", "0", "greater than or equal to 1"), ("CACHE_TTL_SECONDS", "a day", "valid integer")]
    + [("DRAIN_SECONDS", "-1", "greater than or equal to 0"), ("DRAIN_SECONDS", "61", "less than or equal to 60")]
    + [("REDIS_URL", url, r"redis://\[:password@\]host.* rediss://.* unix://") for url in INVALID_URLS],
)
def test_invalid_setting_is_named_with_its_allowed_values_and_without_the_password(
    name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupError, match=rf"\A{name}: [^\n]*{allowed}[^\n]*\Z") as error:
        get_settings()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["redis://h", "rediss://u:%23p@h.svc:6380/15", "redis://:p@[::1]:1/", "unix:///run/s"])
def test_valid_redis_url_is_accepted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    assert get_settings().redis_url == url

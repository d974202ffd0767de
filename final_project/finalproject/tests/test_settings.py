"""An invalid setting is one line that names the variable and its allowed values, and every default is valid."""

import os

import pytest

from finalproject.errors import StartupError
from finalproject.settings import Settings, get_settings

INVALID_URLS = ["localhost", "http://:secret@host", "redis://host/zero", "redis://host?db=0", "redis://:secret/0"] + [
    f"redis://{rest}" for rest in (":secret", ":secret/word@host", ":secret[@host", ":secret@host:six", "host:65536")
]
INVALID = [
    ("CACHE_TTL_SECONDS", "0", "greater than or equal to 1"),
    ("CACHE_TTL_SECONDS", "a day", "valid integer"),
    ("DRAIN_SECONDS", "-1", "greater than or equal to 0"),
    ("DRAIN_SECONDS", "61", "less than or equal to 60"),
]
INVALID += [(name, "nan", "") for name in ("MAX_QUEUE_SECONDS", "DEADLINE_SECONDS", "DRAIN_SECONDS")]
INVALID += [("REDIS_URL", url, r"redis://\[:password@\]host.* rediss://.* unix://") for url in INVALID_URLS]


@pytest.mark.parametrize(("name", "value", "allowed"), INVALID)
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


@pytest.mark.parametrize(("cpus", "threads"), [(1, 1), (256, 256), (257, 256), (1_000, 256)])
def test_default_is_valid_on_a_machine_with_any_number_of_cpus(
    cpus: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cpus), raising=False)
    monkeypatch.setattr("finalproject.cpus.cgroup_quotas", lambda _: [])
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")  # an empty variable is no value
    settings = get_settings()
    assert settings.inference_threads == threads
    assert Settings.model_validate(settings.model_dump()) == settings  # validates the defaults

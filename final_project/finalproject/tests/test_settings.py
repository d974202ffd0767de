"""An invalid setting is one line that names the variable and its allowed values, and every default is valid."""

import os
import re
from pathlib import Path

import pytest

from finalproject.cpus import available_cpus
from finalproject.errors import StartupError
from finalproject.settings import Settings, get_settings
from tests.conftest import PROJECT

INVALID = [("LOG_LEVEL", "loud", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"), ("MAX_BODY_BYTES", "16 MiB", "integer")]
INVALID += [("CACHE_TTL_SECONDS", "0", "equal to 1"), ("INFERENCE_THREADS", "257", "equal to 256")]
INVALID += [("MAX_QUEUE_SECONDS", "0", "greater than 0"), ("DEADLINE_SECONDS", "nan", "equal to 3600")]
INVALID += [("BATCH_TOKENS", "0", "equal to 1"), ("DRAIN_SECONDS", "61", "equal to 60")]
INVALID_URLS = ["localhost", "http://:secret@host", "redis://host/zero", "redis://host?db=0", "redis://:secret/0"]
INVALID_URLS += ["redis://:secret/word@host", "redis://:secret@host:six", "redis://host:65536"]
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


@pytest.mark.parametrize(("cpus", "threads"), [(1, 1), (257, 256)])
def test_default_is_valid_on_a_machine_with_any_number_of_cpus(
    cpus: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finalproject.cpus.cgroup_quotas", lambda _: [])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cpus), raising=False)
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")  # an empty variable is no value
    settings = get_settings()
    assert settings.inference_threads == threads
    assert Settings.model_validate(settings.model_dump()) == settings  # validates the defaults


def test_readme_lists_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", (PROJECT.parent / "README.md").read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == [name.upper() for name in Settings.model_fields]
    for (_, shown), field in zip(rows, Settings.model_fields.values(), strict=True):
        assert shown == f"`{field.default}`" or not isinstance(field.default, int)


# The CPUs of this process, from files as Linux shows them


def v1(folder: str, quota: int) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": "100000\n"}


V1 = "12:cpuset:/\n4:cpu,cpuacct:/pod\n1:name=systemd:/pod\n"
IN_DOCKER = V1.replace("/pod", "/docker/1a2b")  # the path is the host's; the mount's root is the container's cgroup


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "275000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "25000 50000\n"}, 1),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 8),
        ("0::/pod/box\n", {"pod/box/cpu.max": "max 100000\n", "pod/cpu.max": "400000 100000\n"}, 4),
        ("0::/pod/box\n", {"pod/box/cpu.max": "300000 100000\n", "pod/cpu.max": "400000 100000\n"}, 3),
        ("0::/../other\n", {"cpu.max": "300000 100000\n"}, 3),
        ("", {}, 8),
        (V1 + "0::/unified\n", v1("cpu/pod", 200_000), 2),
        (V1, v1("cpu/pod", -1) | v1("cpu", 300_000), 3),
        (IN_DOCKER, v1("cpu", 50_000), 1),
        ("3:memory:/pod\n", v1("cpu/pod", 200_000), 8),
    ],
)
def test_cpus_are_the_quota_of_the_cgroup_or_the_affinity_in_whole_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgroup: str, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    files = {"proc/self/cgroup": cgroup} | {f"sys/fs/cgroup/{name}": content for name, content in files.items()}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_cpus(tmp_path) == expected
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert available_cpus(tmp_path) == min(expected, 5)

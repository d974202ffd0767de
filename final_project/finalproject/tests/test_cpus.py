"""The CPUs of this process, from files as Linux shows them."""

import os
from pathlib import Path

import pytest

from finalproject.cpus import available_cpus

V1 = "12:cpuset:/\n4:cpu,cpuacct:/pod\n1:name=systemd:/pod\n"
QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "275000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "150000 50000\n"}, 3),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": ""}, 8),
        ("0::/\n", {}, 8),
        ("", {}, 8),
        ("0::/pod/box\n", {"pod/box/cpu.max": "max 100000\n", "pod/cpu.max": "400000 100000\n"}, 4),
        ("0::/pod/box\n", {"pod/box/cpu.max": "500000 100000\n", "pod/cpu.max": "400000 100000\n"}, 4),
        ("0::/pod/box\n", {"pod/box/cpu.max": "300000 100000\n", "pod/cpu.max": "400000 100000\n"}, 3),
        ("0::/../other\n", {"cpu.max": "300000 100000\n"}, 3),
        (V1, {f"cpu/pod/{QUOTA}": "200000\n", f"cpu/pod/{PERIOD}": "100000\n"}, 2),
        (V1, {f"cpu/pod/{QUOTA}": "-1\n", f"cpu/{QUOTA}": "300000\n", f"cpu/{PERIOD}": "100000\n"}, 3),
        # in a container of Docker, the path is the host's, and the root of the mount is the container's cgroup
        (V1.replace("/pod", "/docker/1a2b"), {f"cpu/{QUOTA}": "50000\n", f"cpu/{PERIOD}": "100000\n"}, 1),
        (V1 + "0::/unified\n", {f"cpu/pod/{QUOTA}": "200000\n", f"cpu/pod/{PERIOD}": "100000\n"}, 2),
        ("3:memory:/pod\n", {f"cpu/pod/{QUOTA}": "200000\n", f"cpu/pod/{PERIOD}": "100000\n"}, 8),
    ],
)
def test_quota_of_the_cgroup_is_the_limit_in_whole_cpus(
    tmp_path: Path, cgroup: str, files: dict[str, str], expected: int
) -> None:
    files = {"proc/self/cgroup": cgroup} | {f"sys/fs/cgroup/{name}": content for name, content in files.items()}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_cpus(tmp_path) == expected


def test_affinity_or_the_cpus_of_the_machine_are_the_limit_without_cgroups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert available_cpus(tmp_path) == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert available_cpus(tmp_path) == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cpus(tmp_path) == 1

"""The CPUs of this process, from files as a kernel shows them."""

import os
from pathlib import Path

import pytest

from finalproject.cpus import cpus, quotas

V1 = "12:cpuset:/\n4:cpu,cpuacct:/pod\n1:name=systemd:/pod\n"


def machine(root: Path, cgroup: str, **files: str) -> Path:
    """A root folder with these files; `__` stands for a slash and `cpu_max` for cpu.max."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, content in files.items():
        *folders, name = name.split("__")
        folder = root.joinpath("sys/fs/cgroup", *folders)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / {"max": "cpu.max", "quota": "cpu.cfs_quota_us", "period": "cpu.cfs_period_us"}[name]).write_text(
            content
        )
    return root


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {"max": "200000 100000\n"}, 2),
        ("0::/\n", {"max": "250000 100000\n"}, 2),
        ("0::/\n", {"max": "275000 100000\n"}, 2),
        ("0::/\n", {"max": "50000 100000\n"}, 1),
        ("0::/\n", {"max": "150000 50000\n"}, 3),
        ("0::/\n", {"max": "max 100000\n"}, 8),
        ("0::/\n", {"max": "6400000 100000\n"}, 8),
        ("0::/\n", {"max": ""}, 8),
        ("0::/\n", {}, 8),
        ("", {}, 8),
        ("0::/pod/box\n", {"pod__box__max": "300000 100000\n"}, 3),
        ("0::/pod/box\n", {"pod__box__max": "max 100000\n", "pod__max": "400000 100000\n"}, 4),
        ("0::/pod/box\n", {"pod__box__max": "500000 100000\n", "pod__max": "400000 100000\n"}, 4),
        ("0::/pod/box\n", {"pod__box__max": "300000 100000\n", "pod__max": "400000 100000\n"}, 3),
        ("0::/../other\n", {"max": "300000 100000\n"}, 3),
        (V1, {"cpu__pod__quota": "200000\n", "cpu__pod__period": "100000\n"}, 2),
        (V1, {"cpu__pod__quota": "-1\n", "cpu__pod__period": "100000\n"}, 8),
        (
            V1,
            {
                "cpu__pod__quota": "-1\n",
                "cpu__pod__period": "100000\n",
                "cpu__quota": "300000",
                "cpu__period": "100000",
            },
            3,
        ),
        # Docker shows the container's own cgroup as the root of the mount, under the path of the host
        (V1.replace("/pod", "/docker/1a2b"), {"cpu__quota": "50000\n", "cpu__period": "100000\n"}, 1),
        (V1 + "0::/unified\n", {"cpu__pod__quota": "200000\n", "cpu__pod__period": "100000\n"}, 2),
        ("3:memory:/pod\n", {"cpu__pod__quota": "200000\n", "cpu__pod__period": "100000\n"}, 8),
    ],
)
def test_the_quota_of_the_cgroup_is_the_limit_in_whole_cpus(
    tmp_path: Path, cgroup: str, files: dict[str, str], expected: int
) -> None:
    assert cpus(machine(tmp_path, cgroup, **files)) == expected


def test_without_cgroups_affinity_is_the_limit(tmp_path: Path) -> None:
    assert cpus(tmp_path) == 8
    assert quotas(tmp_path) == []


def test_where_there_is_no_affinity_the_cpus_of_the_machine_are_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert cpus(tmp_path) == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpus(tmp_path) == 1


def test_of_this_machine_it_is_at_least_one_and_at_most_all() -> None:
    assert 1 <= cpus() <= 8

"""The number of CPUs that this process may use. In a container it is smaller than the number of the node's CPUs."""

import os
from pathlib import Path


def available_cpus(root: Path = Path("/")) -> int:
    """The smallest of the CPU affinity and the cgroups' quotas, in whole CPUs, at least 1. With more threads than the
    quota has CPUs, the kernel stops all threads for a part of each period of 100 ms."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(int(quota) for quota in cgroup_quotas(root))]))


def cgroup_quotas(root: Path) -> list[float]:
    """The quotas in CPUs of this process's cgroup and of the cgroups that contain it, by cgroups(7)."""
    quotas = []
    for line in read_or_empty(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        files = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)  # version 1 or 2
        cgroup = root / "sys/fs/cgroup" / ("cpu" if controllers else "") / path.lstrip("/")
        for folder in (cgroup, *cgroup.parents):
            quota = " ".join(read_or_empty(folder / file) for file in files).split()
            if len(quota) == 2 and all(map(str.isdigit, quota)):  # else "max", -1 or no file
                quotas.append(int(quota[0]) / int(quota[1]))
    return quotas


def read_or_empty(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

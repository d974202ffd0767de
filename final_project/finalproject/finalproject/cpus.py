"""How many CPUs this process may use: of a container on a node of 64, that is not what the node has."""

import os
from pathlib import Path


def cpus(root: Path = Path("/")) -> int:
    """At least 1; the least of what affinity allows and the quota of the cgroup, in whole CPUs: with half a thread too
    many, all of them stand still for a part of every 100 ms."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(int(quota) for quota in quotas(root))]))


def quotas(root: Path) -> list[float]:
    """CPUs that the cgroup of this process may use, and each cgroup around it, by /proc/self/cgroup (cgroups(7))."""
    found = []
    for line in text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        inside = mount / path.lstrip("/")
        for folder in (inside, *inside.parents):
            if controllers:  # version 1
                numbers = [text(folder / "cpu.cfs_quota_us"), text(folder / "cpu.cfs_period_us")]
            else:
                numbers = text(folder / "cpu.max").split()
            if len(numbers) == 2 and all(number.strip().isdigit() for number in numbers):  # else "max", -1 or no file
                found.append(int(numbers[0]) / int(numbers[1]))
            if folder == mount:
                break
    return found


def text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

"""The machine and the date of a measurement: the line above every table."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def machine() -> str:
    """Processor, cores that this process may use, system, Python version and date."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if "model name" in line), processor)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"Python {platform.python_version()}"
    return f"{processor}, {cores} cores, {platform.system()}, {python}, {datetime.now(UTC):%Y-%m-%d}"

"""How soon the autoscaler follows the load: `.venv/bin/python -m bench.scale`.

It is for the lab on minikube: `./run.sh minikube --keep` in another terminal, on a minikube with the metrics-server
(`minikube addons enable metrics-server`). It adds components/hpa to what runs, sends 100 requests a second of 20 block
groups each for LOAD (90) seconds, waits until the pods have gone again, and takes the autoscaler away. It needs k6.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .machine import machine
from .outage import NAMESPACE, PROJECT, k6_run, kubectl, run

LOAD = int(os.environ.get("LOAD", "90"))
OVERLAY = f"namespace: {NAMESPACE}\nresources:\n  - ../dev\ncomponents:\n  - ../../components/hpa\n"


def ready() -> int:
    said = kubectl("get", "deployment", "api", "--output", "jsonpath={.status.readyReplicas}")
    return int(said or 0)


def wait(pods: range, seconds: int, what: str) -> float:
    """Seconds until so many are ready."""
    began = time.monotonic()
    while ready() not in pods:
        print(f"\r{what}: {ready()} pods after {time.monotonic() - began:.0f} s ", end="", file=sys.stderr, flush=True)
        if time.monotonic() > began + seconds:
            sys.exit(f"\nnot within {seconds} s")
        time.sleep(0.5)
    print(file=sys.stderr)
    return time.monotonic() - began


def main() -> None:
    command = k6_run()
    with tempfile.TemporaryDirectory(dir=PROJECT / ".k8s" / "overlays") as folder:
        (Path(folder) / "kustomization.yaml").write_text(OVERLAY)
        run("kubectl", "--context", "minikube", "apply", "--kustomize", folder)
    try:
        wait(range(2, 3), 180, "before")
        time.sleep(90)  # what the pods' own start took is forgotten by then
        wait(range(2, 3), 180, "before")
        command += ["--env", "ROWS=20", "--env", "PERCENT_NEW=30", "--env", f"SECONDS={LOAD}"]
        command += ["--summary-trend-stats", "med,p(99)", "bench/load.js"]
        with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
            out = wait(range(3, 99), LOAD, "out")
            said, _ = process.communicate()
        failed = re.search(r"failed\W+[\d.]+% (.+)", said)
        back = wait(range(2, 3), 400, "in")
    finally:
        kubectl("delete", "horizontalpodautoscaler", "api")
        kubectl("scale", "deployment/api", "--replicas", "3")
    print(f"{machine()}; 100 requests/s of 20 block groups for {LOAD} s; `python -m bench.scale`\n")
    print("| a third pod ready | two again, after the load | failed requests |\n|---|---|---|")
    print(f"| {out:.0f} s | {back:.0f} s | {failed[1] if failed else said} |")


if __name__ == "__main__":
    main()

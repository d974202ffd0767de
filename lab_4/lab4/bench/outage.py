"""What requests notice when Redis is killed, comes back, hangs and goes on: `.venv/bin/python -m bench.outage`.

It is for the lab on minikube: `./run.sh minikube --keep` in another terminal. 100 requests a second of bench/load.js,
and PHASE (30) seconds of each state. It needs k6: https://grafana.com/docs/k6/latest/set-up/install-k6
"""

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from .machine import machine

PROJECT = Path(__file__).parents[1]
PHASE = int(os.environ.get("PHASE", "30"))
NAMESPACE = os.environ.get("NAMESPACE", "w255")
Samples = dict[str, list[tuple[float, float]]]  # by metric: Unix time, value


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def kubectl(*words: str, namespace: str = NAMESPACE) -> str:
    return run("kubectl", "--context", "minikube", "--namespace", namespace, *words)


def redis() -> dict[str, Any]:
    pods = kubectl("get", "pods", "--selector", "app.kubernetes.io/name=redis", "--output", "json")
    pod: dict[str, Any] = json.loads(pods)["items"][0]
    return pod


@contextlib.contextmanager
def sender() -> Iterator[Callable[[str], float]]:
    """Sends Redis a signal, and tells the Unix time of it: from its node, for in its own pod nobody can stop it."""
    pod = redis()
    uid, node = pod["metadata"]["uid"], {"nodeName": pod["spec"]["nodeName"], "hostPID": True}
    words = ["--image", pod["spec"]["containers"][0]["image"], "--restart", "Never"]
    words += ["--overrides", json.dumps({"apiVersion": "v1", "spec": node}), "--command", "--", "sleep", "3600"]
    which = f"grep -lsE '{uid}|{uid.replace('-', '_')}' /proc/[0-9]*/cgroup | cut -d/ -f3"

    def send(name: str) -> float:
        script = (
            f"for p in $({which}); do grep -q redis-server /proc/$p/cmdline && kill -{name} $p && date +%s.%N; done"
        )
        return float(kubectl("exec", "signals", "--", "sh", "-c", f"{script}; true", namespace="default").split()[0])

    try:
        kubectl("run", "signals", *words, namespace="default")
        kubectl("wait", "pod", "signals", "--for", "condition=Ready", "--timeout", "60s", namespace="default")
        yield send
    finally:
        kubectl("delete", "pod", "signals", "--now", "--ignore-not-found", namespace="default")


def kill() -> float:
    kubectl("scale", "deployment/redis", "--replicas", "0")
    at = time.time()
    kubectl("delete", "pod", "--selector", "app.kubernetes.io/name=redis", "--grace-period", "0", "--force")
    return at


def start() -> float:
    kubectl("scale", "deployment/redis", "--replicas", "1")
    kubectl("rollout", "status", "deployment/redis", "--timeout", "120s")
    return datetime.fromisoformat(
        redis()["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    ).timestamp()


def phase(name: str, change: Callable[[], float]) -> tuple[str, float, float]:
    """Its name, beginning and end, in Unix time."""
    print(name, file=sys.stderr, flush=True)
    began = change()
    time.sleep(PHASE)
    return name, began, time.time()


def read(file: Path) -> Samples:
    samples: Samples = defaultdict(list)
    with file.open() as lines:
        for row in csv.DictReader(lines):
            samples[row["metric_name"]].append((int(row["timestamp"]) / 1000, float(row["metric_value"])))
    return samples


def report(samples: Samples, phases: list[tuple[str, float, float]]) -> None:
    print(f"{machine()}; 100 requests/s of 10 block groups; {PHASE} s each; `python -m bench.outage`\n")
    print("| Redis | median, ms | 99 %, ms | 99 %, against up | failed requests | hits | first hit after |")
    print("|---|---|---|---|---|---|---|")
    up = 0.0
    for name, began, ended in phases:
        took, failed, hits, misses = (
            [(at, value) for at, value in samples[metric] if began < at < ended]
            for metric in ("http_req_duration", "failed", "cache_hits", "cache_misses")
        )
        milliseconds = sorted(value for _, value in took)
        median, most = milliseconds[len(took) // 2], milliseconds[len(took) * 99 // 100]
        up = up or most
        lost, found, computed = (int(sum(value for _, value in those)) for those in (failed, hits, misses))
        first = next((f"{at - began:.1f} s" for at, value in sorted(hits) if value), "")
        print(
            f"| {name} | {median:.1f} | {most:.1f} | {most / up:.1f} | {lost} of {len(took)} "
            f"| {found / max(1, found + computed):.0%} | {first if name in ('back', 'goes on') else ''} |"
        )
    if "dropped_iterations" in samples:
        print(f"\n{len(samples['dropped_iterations'])} requests could not be sent in time: this machine is too slow")


def k6_run() -> list[str]:
    """k6 on the service of the cluster: what the command begins with."""
    k6 = shutil.which("k6", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not k6:
        sys.exit("k6 is missing: https://grafana.com/docs/k6/latest/set-up/install-k6")
    port = kubectl("get", "service", "api", "--output", "jsonpath={.spec.ports[0].nodePort}")
    url = os.environ.get("URL", f"http://{run('minikube', 'ip').strip()}:{port}")
    return [k6, "run", "--quiet", "--env", f"URL={url}"]


def main() -> None:
    command = k6_run()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "samples.csv"
        command += ["--out", f"csv={file}", "--env", "SECONDS=3600"]
        environment = os.environ | {"K6_CSV_TIME_FORMAT": "unix_milli"}
        with subprocess.Popen(  # noqa: S603
            [*command, "bench/load.js"],
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                time.sleep(20)  # until most of the known block groups are in the cache
                phases = [phase("up", time.time), phase("killed", kill), phase("back", start)]
                with sender() as send:
                    phases += [phase("hung", lambda: send("STOP")), phase("goes on", lambda: send("CONT"))]
            finally:
                process.terminate()
        report(read(file), phases)


if __name__ == "__main__":
    main()

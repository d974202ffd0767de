"""The final project on a real cluster, deployed by its run.sh: a rollout and a deleted pod under load."""

import os
import signal
from pathlib import Path

import cluster
from cluster import kubectl, load, ready_pods
from repository import FINAL
from scripts import until

pytestmark = cluster.needs_cluster


def test_rollout_and_deleted_pod_lose_no_request(port: str, tmp_path: Path) -> None:
    with cluster.deployed(FINAL, tmp_path, PORT=port) as script:
        # run.sh ends with its port-forward, and the port-forward with its pod. Killed, run.sh cannot clean up.
        os.killpg(script.process.pid, signal.SIGKILL)
        until(lambda: len(ready_pods()) >= 2, "two pods: the autoscaler starts the second")
        next_image = cluster.load_next_image()
        url = f"http://{cluster.run('minikube', 'ip').strip()}:30086"
        with load(FINAL, tmp_path, 1600, "../load.js", 40, URL=url, SHAPE="open", WAITING=80, CACHE_RATE=0) as result:
            kubectl("set", "image", "deployment/api", f"api={next_image}")
            kubectl("rollout", "status", "deployment/api", "--timeout", "120s")
            assert set(ready_pods().values()) == {next_image}
            kubectl("delete", "pod", min(ready_pods()))  # returns when the pod has ended
            until(lambda: len(ready_pods()) >= 2, "two pods again")
        assert result["failed"] == 0

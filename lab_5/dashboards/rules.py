"""Prints the rules as the object that the Prometheus operator reads, for kubectl; JSON is YAML, too."""

import json
from typing import Any

import yaml

from .live import RULES


def manifest() -> dict[str, Any]:
    recording, alerts = (yaml.safe_load((RULES / f"{name}.yaml").read_text()) for name in ("recording", "alerts"))
    labels = {"app.kubernetes.io/part-of": "ml-systems"}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "objectives", "labels": labels},
        "spec": {"groups": recording["groups"] + alerts["groups"]},
    }


if __name__ == "__main__":
    print(json.dumps(manifest(), indent=2))

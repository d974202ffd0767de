"""lab_4's service, Valkey and Prometheus, as processes of this one: what the picture and the tests look at.

A second service is lab_4's again, with all that can go wrong: no Redis, and a model that was never fitted.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services import HERE, LAB_4, answers, free_port, python, running, said, service, valkey, wait_for

RULES = HERE / "rules"

UNFITTED = """
import joblib, sklearn, sys
from sklearn.linear_model import LinearRegression
joblib.dump(LinearRegression(), sys.argv[1])
print(sklearn.__version__)
"""


@dataclass(frozen=True)
class Live:
    """URLs."""

    prometheus: str
    lab_4: str
    broken: str


def missing() -> str:
    """Why nothing can be started here, or nothing."""
    if shutil.which("prometheus"):
        return ""
    return "Prometheus is not installed; on Debian and Ubuntu: apt install prometheus"


def unfitted(folder: Path) -> Path:
    path = folder / "model_pipeline.pkl"
    version = said(python(LAB_4), UNFITTED, str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = {"sha256": digest, "versions": {"scikit-learn": version}}
    path.with_name("manifest.json").write_text(json.dumps(manifest))
    return path


@contextlib.contextmanager
def prometheus(folder: Path, targets: dict[str, list[str]]) -> Iterator[str]:
    """It asks the URLs of each job, and evaluates the rules, every second."""
    scrapes = [
        {"job_name": job, "static_configs": [{"targets": [url.removeprefix("http://") for url in urls]}]}
        for job, urls in targets.items()
    ]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    rules = [str(RULES / name) for name in ("recording.yaml", "alerts.yaml")]
    config = folder / "prometheus.yml"  # YAML can be written as JSON
    config.write_text(json.dumps({"global": every, "rule_files": rules, "scrape_configs": scrapes}))
    address = f"127.0.0.1:{free_port()}"
    data = f"--storage.tsdb.path={folder / 'data'}"
    command = ["prometheus", f"--config.file={config}", data, f"--web.listen-address={address}"]
    with running(command, folder / "prometheus.log", folder):
        wait_for(lambda: answers(f"http://{address}/-/ready"), f"Prometheus, see {folder}")
        yield f"http://{address}"


@contextlib.contextmanager
def live(folder: Path) -> Iterator[Live]:
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(valkey(folder))
        lab_4 = stack.enter_context(service(LAB_4, "src.main:app", folder / "lab_4.log", LAB_4, REDIS_URL=redis))
        model = {"MODEL_PATH": str(unfitted(folder)), "REDIS_URL": "redis://127.0.0.1:9"}  # where nothing listens
        broken = stack.enter_context(service(LAB_4, "src.main:app", folder / "broken.log", LAB_4, **model))
        yield Live(stack.enter_context(prometheus(folder, {"housing": [lab_4, broken]})), lab_4, broken)

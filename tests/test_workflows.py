"""GitHub's workflows cover every lab, and run the scripts that a person runs."""

import yaml

from repository import LABS, ROOT, files


def commands(workflow: str) -> set[str]:
    """The commands of all jobs, for each lab of their matrices."""
    found = set()
    for job in yaml.safe_load((ROOT / ".github/workflows" / workflow).read_text())["jobs"].values():
        for lab in job.get("strategy", {}).get("matrix", {}).get("lab", [""]):
            found |= {step["run"].replace("${{ matrix.lab }}", lab) for step in job["steps"] if "run" in step}
    return found


def test_workflows_run_only_scripts_of_the_repository_and_cover_every_lab() -> None:
    run = {path.name: commands(path.name) for path in files(".github/workflows/*.yml")}
    assert [command for command in set().union(*run.values()) if not (ROOT / command.split()[0]).is_file()] == []
    targets = {path.parent.name for path in files("*/run.sh")} | {"tests"}
    minikube = [lab for lab in LABS if "minikube" in (lab / "run.sh").read_text()]
    assert {f"./test.sh {target}" for target in targets} - run["labs.yml"] == set()
    assert {f"./{lab.name}/run.sh docker" for lab in LABS} - run["images.yml"] == set()
    assert {f"./{lab.name}/run.sh minikube" for lab in minikube} - run["cluster.yml"] == set()

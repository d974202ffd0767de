"""Each lab's image: built and tried by its own run.sh, then looked at from inside."""

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from repository import LABS, REBUILT, ROOT, name, package, project

# MB that an image may add to its base, and what lies in /app
LARGEST = {"lab_1": 20, "lab_2": 250, "lab_3": 290, "lab_4": 290, "final_project": 230}
MODEL = {"manifest.json", "model_pipeline.pkl"}
IN_APP = {"lab_1": {"src", "venv"}, **dict.fromkeys(("lab_2", "lab_3", "lab_4"), {"src", "venv"} | MODEL)}
IN_APP |= {"final_project": {"finalproject", "model", "venv"}}

# what run.sh calls it: from lab_3 on a cluster has to tell one release from another
IMAGES = {"lab_1": "lab1", "lab_2": "lab2", "lab_3": "lab3:3.1.0", "lab_4": "lab4:4.0.0"}
IMAGES |= {"final_project": "finalproject:6.0.0"}

pytestmark = pytest.mark.skipif(
    subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0, reason="Docker is not running"
)


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", params=[lab for lab in LABS if (project(lab) / "Dockerfile").exists()], ids=name)
def lab(request: pytest.FixtureRequest) -> Path:
    """A lab whose image was built and answered rightly."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        ["./run.sh", "docker"], cwd=request.param, env=os.environ | {"PORT": str(port)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tried: Path = request.param
    return tried


def inspect(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("image", "inspect", image))[0]
    return found


def inside(lab: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in a fresh container, instead of the service."""
    return subprocess.run(["docker", "run", "--rm", IMAGES[lab.name], *command], capture_output=True, text=True)


def test_it_leaves_no_container_behind(lab: Path) -> None:
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={IMAGES[lab.name]}") == ""


def test_it_runs_as_a_numbered_user_that_is_not_root(lab: Path) -> None:
    user, group = inspect(IMAGES[lab.name])["Config"]["User"].split(":")
    assert int(user) >= 10000
    assert int(group) >= 10000
    assert inside(lab, "id", "-u").stdout.strip() == user


def test_it_starts_the_server_itself_with_no_shell_around_it(lab: Path) -> None:
    config = inspect(IMAGES[lab.name])["Config"]
    assert config["Cmd"][0] == "uvicorn"
    assert not config.get("Entrypoint")
    assert config["WorkingDir"] == "/app"


def test_the_environment_is_roots_and_nobody_can_write_below_app(lab: Path) -> None:
    assert inside(lab, "stat", "--format", "%U %a", "/app/venv").stdout == "root 755\n"
    assert inside(lab, "find", "/app", "-writable", "!", "-type", "l").stdout == ""


def test_it_holds_the_service_and_nothing_else(lab: Path) -> None:
    assert set(inside(lab, "ls", "-A", "/app").stdout.split()) == IN_APP[lab.name]
    assert inside(lab, "find", f"/app/{package(lab)}", "-type", "f", "!", "-name", "*.py").stdout == ""
    packages = inside(lab, "ls", "/app/venv/lib/python3.11/site-packages").stdout.split()
    assert "fastapi" in packages
    assert not {"poetry", "pip", "pytest", "mypy"} & set(packages)
    assert inside(lab, "sh", "-c", "command -v poetry").returncode != 0


def test_health_check_uses_no_proxy_and_a_stop_ends_in_time_with_half_a_request(lab: Path) -> None:
    """The proxy is one that refuses connections, as ~/.docker/config.json may set it in every container."""
    check = inspect(IMAGES[lab.name])["Config"]["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    assert inside(lab, *check[1:]).returncode != 0
    proxy = [f"--env={name}=http://127.0.0.1:9" for name in ("http_proxy", "HTTP_PROXY") if lab in REBUILT]
    container = docker("run", "--detach", "--publish", "127.0.0.1::8000", *proxy, IMAGES[lab.name]).strip()
    try:
        probe = f'for i in $(seq 100); do {check[1]} -c "{check[3]}" && exit; sleep 0.2; done; exit 1'
        subprocess.run(["docker", "exec", container, "sh", "-c", probe], check=True, capture_output=True)
        port = docker("port", container, "8000").split(":")[-1]
        with socket.create_connection(("127.0.0.1", int(port))) as client:
            if lab in REBUILT:
                client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
            docker("stop", "--time", "60", container)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() != "137", "SIGKILL ended it"
    finally:
        docker("rm", "--force", container)


@pytest.mark.parametrize("lab", REBUILT, ids=name, indirect=True)
def test_image_works_from_a_clone_with_other_modes_and_line_ends(lab: Path, tmp_path: Path) -> None:
    """A clone under umask 077, on a system where git writes carriage returns."""
    subprocess.run(
        ["bash", "-c", 'umask 077; git clone --quiet --config core.autocrlf=true "$0" "$1"', ROOT, tmp_path / "clone"],
        check=True,
    )
    image = f"{IMAGES[lab.name]}-clone".replace(":", "-")
    folder = tmp_path / "clone" / project(lab).relative_to(ROOT)
    docker("build", "--quiet", "--tag", image, str(folder))
    try:
        subprocess.run(["docker", "run", "--rm", image, "python", "-c", "import src.main"], check=True)
    finally:
        docker("image", "rm", "--force", image)


def test_it_is_small(lab: Path) -> None:
    """Above its base image, as `docker image inspect` tells sizes."""
    base = (project(lab) / "Dockerfile").read_text().split("ARG PYTHON_IMAGE=")[1].split()[0]
    if subprocess.run(["docker", "image", "inspect", base], capture_output=True, check=False).returncode != 0:
        docker("pull", "--quiet", base)  # BuildKit keeps what it built on without a name
    megabytes = (inspect(IMAGES[lab.name])["Size"] - inspect(base)["Size"]) / 1e6
    print(f"{lab.name}: {megabytes:.0f} MB above {base}")
    assert megabytes < LARGEST[lab.name]

"""Each image: built and smoke-tested by the lab's run.sh, then inspected."""

import json
import re
import socket
from pathlib import Path

import pytest

from cluster import needs_docker, run
from repository import FINAL, LABS, ROOT, name, project, without
from scripts import Script, free_port

pytestmark = [needs_docker, pytest.mark.docker]
MAX_MEGABYTES = {"lab_1": 20, "lab_2": 250, "lab_3": 290, "lab_4": 290, "final_project": 230}  # above the base image


def image(lab: Path) -> str:
    """The name that run.sh gives to the image."""
    settings = dict(re.findall(r"\b(lab|version|image)=([\w.:]+)", (lab / "run.sh").read_text()))
    return settings.get("image") or ":".join(settings[key] for key in ("lab", "version") if key in settings)


def inspect(image: str, template: str) -> str:
    return run("docker", "image", "inspect", "--format", template, image)


@pytest.fixture(scope="module", params=LABS, ids=name)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab whose image was built and smoke-tested, and whose containers were removed."""
    lab: Path = request.param
    script = Script(tmp_path_factory.mktemp("run"), f"{lab}/run.sh", "docker", environment=without(PORT=free_port()))
    assert script.wait_for_exit(600) == 0, script.stdout + script.stderr
    assert run("docker", "ps", "--all", "--quiet", "--filter", f"name=-{script.process.pid}$") == ""
    return lab


def test_server_runs_without_a_shell_as_a_numeric_user_who_cannot_write_to_app(lab: Path) -> None:
    config = inspect(image(lab), "{{.Config.User}} {{index .Config.Cmd 0}} {{.Config.Entrypoint}}")
    assert re.fullmatch(r"\d{5}:\d{5} uvicorn \[\]\n", config), config
    assert run("docker", "run", "--rm", image(lab), "find", "/app", "-writable", "!", "-type", "l") == ""


def test_image_is_small_and_contains_the_service_without_tools(lab: Path) -> None:
    model = {"lab_1": set(), "final_project": {"model"}}.get(lab.name, {"manifest.json", "model_pipeline.pkl"})
    package = next(project(lab).glob("*/main.py")).parent.name
    list_files = f"ls -A /app; find /app/{package} -type f ! -name '*.py'; ls /app/venv/lib/*/site-packages"
    files = run("docker", "run", "--rm", image(lab), "sh", "-c", list_files).split()
    assert set(files[: 2 + len(model)]) == {package, "venv"} | model
    assert {"fastapi", "poetry", "pip", "pytest", "mypy"} & set(files) == {"fastapi"}

    base = (project(lab) / "Dockerfile").read_text().split("ARG PYTHON_IMAGE=")[1].split()[0]
    if not run("docker", "images", "--quiet", base):
        run("docker", "pull", "--quiet", base)  # BuildKit keeps a base image without a name
    megabytes = (int(inspect(image(lab), "{{.Size}}")) - int(inspect(base, "{{.Size}}"))) / 1e6
    print(f"{lab.name}: {megabytes:.0f} MB above {base}")
    assert megabytes < MAX_MEGABYTES[lab.name]


@pytest.mark.parametrize("lab", [LABS[0], LABS[3], FINAL], ids=name, indirect=True)
def test_health_check_uses_no_proxy_and_a_stop_ends_in_time_with_half_a_request(lab: Path) -> None:
    """The proxy is one that refuses connections, as ~/.docker/config.json may set it in every container."""
    check = json.loads(inspect(image(lab), "{{json .Config.Healthcheck.Test}}"))
    proxy = [f"--env={name}=http://127.0.0.1:9" for name in ("http_proxy", "HTTP_PROXY")]
    container = run("docker", "run", "--detach", "--publish", "127.0.0.1::8000", *proxy, image(lab)).strip()
    try:
        retry = f'for i in $(seq 100); do {check[1]} -c "{check[3]}" && exit; sleep 0.2; done; exit 1'
        run("docker", "exec", container, "sh", "-c", retry)
        port = run("docker", "port", container, "8000").split(":")[-1]
        with socket.create_connection(("127.0.0.1", int(port))) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
            run("docker", "stop", "--time", "60", container)
        assert run("docker", "inspect", "--format", "{{.State.ExitCode}}", container) != "137\n", "SIGKILL ended it"
    finally:
        run("docker", "rm", "--force", container)


@pytest.mark.parametrize("lab", [LABS[0], FINAL], ids=name)
def test_image_works_from_a_clone_with_other_modes_and_line_ends(lab: Path, tmp_path: Path) -> None:
    """A clone under umask 077, on a system where git writes carriage returns."""
    run("bash", "-c", f"umask 077; git clone --quiet --config core.autocrlf=true '{ROOT}' '{tmp_path}/clone'")
    built = run("docker", "build", "--quiet", f"{tmp_path}/clone/{name(project(lab))}").strip()
    package = next(project(lab).glob("*/main.py")).parent.name
    run("docker", "run", "--rm", built, "python", "-c", f"import {package}.main")
    run("docker", "image", "rm", built)

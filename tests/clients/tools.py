"""Clients of ClickHouse in other languages: fetched from their registries once, built, and kept under `.cache/clients`.

A folder is named by a hash of what it was made from, so that an old one never stands in for what is asked now.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
CACHE: Final = HERE.parents[1] / ".cache" / "clients"
PATIENCE: Final = 280
NODE: Final = 20
"""The first major version that @clickhouse/client says it runs with."""


class NoTool(Exception):
    """A tool is missing or too old; the message says which."""


class NoClient(Exception):
    """A client could not be fetched or built; the message says why."""


def java() -> list[str]:
    """Return the command that runs Reads.java with the JDBC driver; compiled without a JDK."""
    _needed("java", "mvn")
    copied = ("mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies", "-DincludeScope=runtime")
    jars = _made("jars", (HERE / "pom.xml",), lambda folder: _run(*copied, f"-DoutputDirectory={folder}"))
    (compiler,) = jars.glob("ecj-*.jar")
    sources = (HERE / "pom.xml", HERE / "Reads.java")
    compiling = ("java", "-jar", str(compiler), "-17", str(sources[1]), "-d")
    classes = _made("classes", sources, lambda folder: _run(*compiling, str(folder)))
    return ["java", "-cp", f"{classes}:{jars}/*", "Reads"]


def node() -> list[str]:
    """Return the command that runs reads.mjs with @clickhouse/client."""
    _needed("node", "npm")
    version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < NODE:
        raise NoTool(f"node is {version}; the client needs {NODE}")

    def fetch(folder: Path) -> None:
        folder.mkdir()
        for name in ("package.json", "reads.mjs"):
            shutil.copy(HERE / name, folder)
        quiet = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier")
        _run("npm", "install", *quiet, "--cache", str(CACHE / "npm"), at=folder)

    made = _made("node", (HERE / "package.json", HERE / "reads.mjs"), fetch)
    return ["node", str(made / "reads.mjs")]


def golang() -> list[str]:
    """Return the program made of go/main.go with clickhouse-go. The first build takes a minute of a core or more."""
    _needed("go")
    version = subprocess.run(["go", "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout.strip()
    wanted = next(line.split()[1] for line in (HERE / "go" / "go.mod").read_text().splitlines() if line[:3] == "go ")
    if _numbers(version.removeprefix("go")) < _numbers(wanted):
        raise NoTool(f"go is {version}; go.mod needs {wanted}")
    kept = {
        "GOMODCACHE": str(CACHE / "go-modules"),
        "GOCACHE": str(CACHE / "go-build"),
        # Nothing is changed in go.mod, no other Go is fetched, and the cache can be removed like any folder.
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
        "GOTOOLCHAIN": "local",
    }
    sources = tuple(HERE / "go" / name for name in ("go.mod", "go.sum", "main.go"))
    made = _made("go", sources, lambda folder: _run("go", "build", "-o", f"{folder}/", ".", at=HERE / "go", env=kept))
    return [str(next(made.iterdir()))]


def _numbers(version: str) -> list[int]:
    return [int("".join(filter(str.isdigit, part)) or 0) for part in version.split(".")]


def _needed(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            raise NoTool(f"no `{tool}` on the PATH")


def _made(name: str, sources: tuple[Path, ...], make: Callable[[Path], None]) -> Path:
    """Return the folder that `make` makes of these sources, made at the first call."""
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = CACHE / f"{name}-{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / f".{name}.lock"):  # several test processes may come here at once
        if not folder.exists():
            partial = folder.with_name(folder.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            make(partial)
            partial.rename(folder)  # all of it or none
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(*command: str, at: Path = HERE, env: Mapping[str, str] | None = None) -> None:
    try:
        subprocess.run(
            command, check=True, capture_output=True, timeout=PATIENCE, cwd=at, env={**os.environ, **(env or {})}
        )
    except subprocess.CalledProcessError as error:
        said = (error.stdout + error.stderr).decode(errors="replace").strip()
        raise NoClient(f"`{command[0]}` failed: {said[-600:]}") from error
    except subprocess.TimeoutExpired as error:
        raise NoClient(f"`{command[0]}` was not done within {error.timeout:g} s") from error

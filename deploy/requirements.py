"""The image's dependencies: every package that Tally needs, pinned to what is installed, with the hash of its wheel.

    python -m deploy.requirements           write deploy/requirements.txt and deploy/requirements-build.txt anew
    python -m deploy.requirements --check   say what is not as installed, and exit 1; asks no registry

The set is that of this interpreter, so it is made with the Python version and on the platform of the image (CPython
3.11, Linux x86-64). pip looks the wheels up where it is configured to, and downloads none to hash them.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
RUN: Final = ROOT / "deploy" / "requirements.txt"
BUILD: Final = ROOT / "deploy" / "requirements-build.txt"
PROJECT: Final = "tally-metering"
PACKAGING: Final = "pip._vendor.packaging.requirements"
"""pip's own copy, so that nothing has to be installed beside what Tally needs."""
HEADING: Final = """\
# Written by `python -m deploy.requirements`: {what}, as wheels of CPython 3.11 on Linux x86-64.
# `pip install --require-hashes` refuses everything else.
"""
_LINE: Final = re.compile(r"^([a-z0-9.-]+)==(\S+) \\\n    --hash=sha256:([0-9a-f]{64})$", re.MULTILINE)


def canonical(name: str) -> str:
    """Return a package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(project: str = PROJECT) -> dict[str, str]:
    """Return the version of every package that `project` needs here, directly or not, by canonical name."""
    requirement = import_module(PACKAGING).Requirement
    found: dict[str, str] = {}
    asked: set[tuple[str, str]] = set()
    waiting = [(project, "")]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in asked:
            continue
        asked.add((name, extra))
        about = distribution(name)
        found[canonical(name)] = about.version
        for text in about.requires or ():
            needed = requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonical(needed.name), more) for more in ("", *needed.extras)]
    del found[canonical(project)]
    return dict(sorted(found.items()))


def building() -> dict[str, str]:
    """Return what pyproject.toml needs to build the wheel."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = (requirement.split("==") for requirement in about["build-system"]["requires"])
    return {canonical(name): pinned for name, pinned in pins}


def read(path: Path) -> dict[str, tuple[str, str]]:
    """Return the version and the SHA-256 of each package of a file."""
    return {name: (pinned, digest) for name, pinned, digest in _LINE.findall(path.read_text(encoding="utf-8"))}


def look_up(pins: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each package's wheel for this platform, as pip finds it. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder) / "pins.txt", Path(folder) / "report.json"
        wanted.write_text("".join(f"{name}=={pinned}\n" for name, pinned in pins.items()), encoding="utf-8")
        quietly = ["--quiet", "--disable-pip-version-check", "--no-input"]
        exactly = ["--dry-run", "--ignore-installed", "--no-deps", "--only-binary", ":all:"]
        command = [sys.executable, "-m", "pip", "install", *quietly, *exactly]
        subprocess.run([*command, "--report", str(report), "-r", str(wanted)], check=True)
        answer = json.loads(report.read_text(encoding="utf-8"))
    return {
        canonical(item["metadata"]["name"]): item["download_info"]["archive_info"]["hashes"]["sha256"]
        for item in answer["install"]
    }


def write(path: Path, what: str, pins: Mapping[str, str]) -> None:
    """Write a file of pinned packages with their hashes."""
    digests = look_up(pins)
    if digests.keys() != pins.keys():
        raise RuntimeError(f"pip said nothing of {sorted(pins.keys() - digests.keys())}")
    lines = (f"{name}=={pins[name]} \\\n    --hash=sha256:{digests[name]}\n" for name in sorted(pins))
    path.write_text(HEADING.format(what=what) + "".join(lines), encoding="utf-8")


def differences(path: Path, pins: Mapping[str, str]) -> list[str]:
    """Return what a file has otherwise than `pins`."""
    found = {name: pinned for name, (pinned, _) in read(path).items()}
    names = sorted(found.keys() | pins.keys())
    return [
        f"{path.name}: {name} is {found.get(name, 'missing')}, and {pins.get(name, 'not needed')} here"
        for name in names
        if found.get(name) != pins.get(name)
    ]


def main(arguments: Iterable[str] | None = None) -> None:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(prog="python -m deploy.requirements", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--check", action="store_true", help="only compare with what is installed")
    given = parser.parse_args(None if arguments is None else list(arguments))
    if given.check:
        wrong = [*differences(RUN, installed()), *differences(BUILD, building())]
        print("\n".join(wrong) or f"as installed beside {PROJECT} {version(PROJECT)}")
        raise SystemExit(bool(wrong))
    write(RUN, "what Tally needs to run", installed())
    write(BUILD, "what builds Tally's wheel", building())


if __name__ == "__main__":
    main()

"""Reads a Dockerfile and says what is wrong with it: our own few rules, since no linter of them is at hand."""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

COMPILERS = re.compile(r"\b(apt-get|apt|apk|gcc|g\+\+|build-essential|make|pip|curl|wget)\b")
PINNED = re.compile(r"[a-z0-9./_-]+:\d+\.\d+\.\d+[a-z0-9.-]*(@sha256:[0-9a-f]{64})?")


class Instruction(NamedTuple):
    word: str
    rest: str


class Stage(NamedTuple):
    image: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, word: str) -> list[str]:
        return [found.rest for found in self.instructions if found.word == word]


def instructions(text: str) -> Iterator[Instruction]:
    """Give each instruction on one line, comments left out."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield Instruction(word.upper(), " ".join(rest.split()))


def stages(text: str) -> list[Stage]:
    found: list[Stage] = []
    for instruction in instructions(text):
        if instruction.word == "FROM":
            image, _, name = instruction.rest.partition(" AS ")
            found.append(Stage(image, name, ()))
        else:
            last = found.pop()
            found.append(last._replace(instructions=(*last.instructions, instruction)))
    return found


def environment(stage: Stage) -> dict[str, str]:
    return dict(pair for rest in stage.all("ENV") for pair in re.findall(r'(\w+)=("[^"]*"|\S+)', rest))


def labels(stage: Stage) -> dict[str, str]:
    pairs = (pair for rest in stage.all("LABEL") for pair in re.findall(r'([\w.]+)="([^"]*)"', rest))
    return dict(pairs)


def volumes(stage: Stage) -> set[str]:
    return {volume for rest in stage.all("VOLUME") for volume in json.loads(rest)}


def _is_exec(rest: str) -> bool:
    try:
        found = json.loads(rest)
    except ValueError:
        return False
    return isinstance(found, list) and bool(found) and all(isinstance(word, str) for word in found)


def problems(text: str) -> Iterator[str]:
    """Say what is wrong with the Dockerfile of a service that must be safe to run and to stop."""
    every = stages(text)
    last = every[-1]
    if len(every) < 2:
        yield "one stage: what builds is in what runs"
    for stage in every:
        if not PINNED.fullmatch(stage.image):
            yield f"{stage.image}: is pinned by no full version"
        if stage.all("ADD"):
            yield "ADD fetches and unpacks: use COPY"
        for run in stage.all("RUN"):
            for command in re.split(r"&&|\|\||;", run):
                if "pip install" in command and "--require-hashes" not in command and "--no-index" not in command:
                    yield f"installs without hashes: {command.strip()}"
    user = last.all("USER")
    if not user or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user[-1]):
        yield "the last stage does not end as a numbered user that is not root"
    yield from (f"the last stage runs {run}" for run in last.all("RUN") if COMPILERS.search(run))
    yield from (f"copies from outside the builder: {copy}" for copy in last.all("COPY") if "--from=" not in copy)
    if any("--chown" in copy for copy in last.all("COPY")):
        yield "the process owns its own code"
    for word in ("ENTRYPOINT", "CMD"):
        if [_is_exec(rest) for rest in last.all(word)] != [True]:
            yield f"{word} is not in exec form: a shell would take the signals"
    health = last.all("HEALTHCHECK")
    if len(health) != 1 or not _is_exec(health[0].partition("CMD ")[2]) or "/healthz" not in health[0]:
        yield "no health check of /healthz in exec form"
    if last.all("STOPSIGNAL") != ["SIGTERM"]:
        yield "does not say that SIGTERM stops it"
    if not {"org.opencontainers.image.version", "org.opencontainers.image.revision"} <= labels(last).keys():
        yield "no labels of version and revision"
    for name in ("HOME", "NUMBA_CACHE_DIR"):
        if environment(last).get(name) not in volumes(last):
            yield f"{name} is in no volume: the root may be read-only"

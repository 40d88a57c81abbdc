"""Traffic into a file, or a folder of files: one file a partition, the expectation beside it.

    expected = generate_file(Path("events.ndjson"), TrafficSpec(events=1_000_000))
    expected = generate_folder(Path("traffic"), TrafficSpec(partitions=8))

A file appears under its name when it is whole; until then it ends in `.part`.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

from schemas.errors import SettingsError
from tally.generate.expected import Expected, expected_path
from tally.generate.pace import Pace
from tally.generate.spec import TrafficSpec
from tally.generate.traffic import CHUNK, ShowProgress, Traffic, show_nothing

NAMES: Final = "part-*.ndjson"


def generate_file(
    path: Path,
    spec: TrafficSpec,
    progress: ShowProgress = show_nothing,
    *,
    force: bool = False,
    expected: Path | None = None,
    chunk: int = CHUNK,
    sleep: Callable[[float], None] = time.sleep,
) -> Expected:
    """Write one file of traffic, and its expectation to `expected` (default: beside it); return the expectation.

    `force` overwrites. `chunk` (events) changes the speed and not the bytes. Raises SettingsError.
    """
    if spec.partitions != 1:
        raise SettingsError("partitions: a file is one partition; name a folder (with a trailing /) for several")
    spec = spec.for_file()
    _refuse_existing(path, force=force, folder=False)
    kept = expected or expected_path(path)
    kept.unlink(missing_ok=True)
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    found = _write(spec, [part], [path.name], progress, chunk, sleep)
    part.replace(path)
    found.save(kept)
    return found


def generate_folder(
    path: Path,
    spec: TrafficSpec,
    progress: ShowProgress = show_nothing,
    *,
    force: bool = False,
    expected: Path | None = None,
    chunk: int = CHUNK,
    sleep: Callable[[float], None] = time.sleep,
) -> Expected:
    """Write a folder of `spec.partitions` files, and its expectation beside it; as generate_file otherwise.

    With `force` a folder is replaced, but only one that holds nothing but generated files.
    """
    spec = spec.for_file()
    _refuse_existing(path, force=force, folder=True)
    kept = expected or expected_path(path)
    kept.unlink(missing_ok=True)
    digits = max(4, len(str(spec.partitions - 1)))
    names = [f"part-{number:0{digits}}.ndjson" for number in range(spec.partitions)]
    part = path.with_name(path.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    found = _write(spec, [part / name for name in names], names, progress, chunk, sleep)
    if path.exists():
        shutil.rmtree(path)
    part.replace(path)
    found.save(kept)
    return found


def _write(
    spec: TrafficSpec,
    paths: list[Path],
    names: list[str],
    progress: ShowProgress,
    chunk: int,
    sleep: Callable[[float], None],
) -> Expected:
    pace = Pace(spec.rate, sleep=sleep)
    traffic = Traffic(spec, chunk=pace.chunk(chunk))
    nbytes = 0
    with ExitStack() as stack:
        files: list[BinaryIO] = [stack.enter_context(path.open("wb")) for path in paths]
        for made in traffic.chunks():
            start = 0
            for file, end in zip(files, made.partition_ends.tolist(), strict=True):
                if end > start:
                    file.write(made.data[start:end].data)
                start = end
            nbytes += start
            progress(made.done, spec.events)
            pace.keep(made.done)
        for file, rest in zip(files, traffic.unfinished(), strict=True):
            file.write(rest)
            nbytes += len(rest)
    return traffic.expected(names, nbytes)


def _refuse_existing(path: Path, *, force: bool, folder: bool) -> None:
    if not path.exists():
        return
    if path.is_dir() != folder:
        raise SettingsError(f"{path}: there is a {'file' if folder else 'folder'} of this name")
    if folder:
        others = [found.name for found in path.iterdir() if not found.match(NAMES)]
        if others:
            raise SettingsError(f"{path}: holds {others[0]!r}, which was not generated; choose another folder")
    if not force:
        raise SettingsError(f"{path}: exists already; --force replaces it")

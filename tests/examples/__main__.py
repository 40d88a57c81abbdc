"""Run files of worked examples: `python -m tests.examples [FILE.json…]`; without a file, those of the suite."""

import sys
from collections import Counter
from pathlib import Path
from typing import get_args

from tests.examples.otherwise import OTHERWISE
from tests.examples.running import PRICING, Verdict, by_primitive, load, run


def main(arguments: list[str]) -> int:
    """Print what passed, failed and was not understood, by primitive; return 1 where any failed."""
    if any(argument.startswith("-") for argument in arguments):
        print(__doc__)
        return 0 if arguments in (["--help"], ["-h"]) else 2
    verdicts: tuple[Verdict, ...] = get_args(Verdict)
    status = 0
    for path in map(Path, arguments or [str(PRICING)]):
        try:
            results = [run(example) for example in load(path)]
        except (OSError, ValueError) as error:
            print(f"{path}: no file of examples: {error}", file=sys.stderr)
            status = 1
            continue
        print(f"{path.name}: {len(results)} examples\n")
        print(f"{'primitive':<24}" + "".join(f"{verdict:>16}" for verdict in verdicts))
        counts = by_primitive(results)
        for primitive, found in {**counts, "total": sum(counts.values(), Counter[Verdict]())}.items():
            print(f"{primitive:<24}" + "".join(f"{found[verdict]:>16}" for verdict in verdicts))
        for verdict in verdicts[1:]:
            told = [result for result in results if result.verdict == verdict]
            if told:
                print(f"\n{verdict}:")
            for result in told:
                reason = f" ({OTHERWISE[result.id]})" if verdict == "otherwise" else ""
                print(f"  {result.id} [{result.primitive}]: {result.detail}{reason}")
        status |= any(result.verdict == "failed" for result in results)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

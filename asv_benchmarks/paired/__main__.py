"""tools/bench: this code against main, or another commit.

Status: 0 nothing is slower; 1 something is slower; 2 something failed, or there was nothing to compare.
"""

import argparse
import sys
from collections import Counter

from asv_benchmarks.paired import rounds, table
from asv_benchmarks.paired.builds import BuildError, package_of

DEFAULT = r"Step\.time_epoch\('(tiny|small|medium)'"


def main():
    options = parse()
    try:
        packages = package_of(options.against), package_of(options.commit)
        chosen = rounds.select(packages[1], options.bench)
    except (BuildError, rounds.WorkerError) as error:
        print(error, file=sys.stderr)
        return 2
    if packages[0] == packages[1]:
        print("both are the same code: what differs is noise")
    rows, turns = [], []
    for benchmark in chosen:
        print(f"{benchmark['name']} ...", file=sys.stderr, flush=True)
        pairs = rounds.measure(benchmark["name"], benchmark["labels"], packages, options.rounds)
        rows += [table.row(label, benchmark["unit"], of) for label, of in pairs.items()]
        turns += [answer for of in pairs.values() for pair in of for answer in pair]
    report(rows, turns, (options.against, options.commit or "this"))
    return table.status(rows)


def parse():
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__.splitlines()[0],
                                     epilog="Status: " + __doc__.split("Status: ")[1])
    parser.add_argument("--against", default="main", metavar="COMMIT", help="what to compare with; default main")
    parser.add_argument("--commit", metavar="COMMIT", help="what to measure; default: the working tree as it is")
    parser.add_argument("--bench", default=DEFAULT, metavar="REGEX",
                        help='found in "benchmark(parameters)", as asv does; default: the step of tiny, small and medium')
    parser.add_argument("--rounds", type=int, default=8, help="default 8; at least 6")
    options = parser.parse_args()
    if options.rounds < 6:
        parser.error(f"--rounds must be at least 6, not {options.rounds}: in fewer, chance alone agrees with itself")
    return options


def report(rows, turns, names):
    """Prints the table, what failed, and how steady the machine was."""
    notes = {row.note: row.label for row in rows if row.note}       # once, what many have in common
    for note, label in notes.items():
        print(f"{label} failed:\n{note}", file=sys.stderr)
    if not any(row.values for row in rows):
        print(f"nothing was measured on both sides ({len(rows)} benchmarks chosen)", file=sys.stderr)
        return
    print(table.table(rows, names))
    counts = Counter(row.verdict for row in rows)
    print("\n" + ", ".join(f"{counts[verdict]} {verdict}" for verdict in table.VERDICTS))
    print(f"named from {table.WORTH:.0%} on, if nine of ten rounds agree; * divided by the machine's FMA chain")
    low, high = table.calibration(turns)
    print(f"FMA chain in half of all turns: {low:+.1%} to {high:+.1%}" + (": a busy machine" if high - low > 0.1 else ""))


if __name__ == "__main__":
    sys.exit(main())

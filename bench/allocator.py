"""Fairlead's allocator and Kubernetes' own, on the same cases in the same run.

    python bench/allocator.py [--cases FILE ...] [--repeat N] [--budget-seconds S] [-o table|json]

Cases are JSON lines as `fairlead allocate --cases` reads them; without --cases the conformance cases for speed, or,
where those are not there, the families of tests/judge/families.py. Each case goes to both programs one after the other,
so that a busy machine is busy for both. Kubernetes' side is bench/upstream, a small Go program on the published module;
it is built when it is missing or older than its sources. Without Go only ours runs.

Both times are the fastest of N decisions on prepared inputs: slices and what is taken are known, selectors compiled.
The first time is that of the first decision, before any selector was compiled or evaluated.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
UPSTREAM = ROOT / "bench" / "upstream"
PROGRAM = UPSTREAM / ".cache" / "upstream"
SHARED = Path(os.environ.get("FAIRLEAD_SHARED") or ROOT.parent / "shared")
SPEED = SHARED / "conformance" / "allocator-speed.jsonl"

EASY_MICROS, HARD_MICROS, LIMIT_MICROS = 1_000, 100_000, 5_000
"""What is easy for Kubernetes' allocator, what is hard for it, and what no case may take ours."""
EASY_MEDIAN, EASY_MOST, FIRST_MOST, HARD_LEAST = 0.5, 1.0, 5.0, 100

Json = dict[str, Any]


def build() -> Path | None:
    """The program of Kubernetes' side, built if need be; None without Go."""
    newest = max(path.stat().st_mtime for path in UPSTREAM.glob("*.*") if path.is_file())
    if PROGRAM.exists() and PROGRAM.stat().st_mtime >= newest:
        return PROGRAM
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        print("no Go here: only Fairlead's allocator runs", file=sys.stderr)
        return None
    print("building bench/upstream, which takes a minute the first time", file=sys.stderr)
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    built = subprocess.run([go, "build", "-trimpath", "-o", PROGRAM, "."], cwd=UPSTREAM, env=environment, check=False)
    if built.returncode != 0:
        print("bench/upstream cannot be built: only Fairlead's allocator runs", file=sys.stderr)
        return None
    os.utime(PROGRAM)
    return PROGRAM


class Side:
    """One of the two programs: a line in, a line out."""

    def __init__(self, *command: str | Path) -> None:
        self.process = subprocess.Popen(
            [*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, case: Json) -> Json:
        """Raises EOFError when the program is gone."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise EOFError(f"{self.process.args[0]} ended at case {case.get('name')}")  # type: ignore[index]
        return json.loads(answer)

    def close(self) -> None:
        """Ends it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def read_cases(files: list[Path]) -> Iterator[Json]:
    """The cases of all files, or else the default ones."""
    if not files and not SPEED.exists():
        sys.path.insert(0, str(ROOT / "tests" / "judge"))
        from families import hard_cases

        yield from hard_cases()
        return
    for path in files or [SPEED]:
        with path.open() as lines:
            yield from (json.loads(line) for line in lines if line.strip())


def picks(answer: Json) -> str | list[Any] | None:
    """What a program answered, in one form for both: an error, nothing, or the picks of each claim."""
    if answer["error"] is not None:
        return "error"
    if "devices" in answer:
        return answer["devices"]
    if answer["allocations"] is None:
        return None
    return [
        [
            [result["request"], f"{result['driver']}/{result['pool']}/{result['device']}"]
            for result in (allocation.get("devices") or {}).get("results") or []
        ]
        for allocation in answer["allocations"]
    ]


def compare(case: Json, ours: Side, theirs: Side | None) -> Json:
    """One row of the table."""
    upstream = theirs.ask(case) if theirs else None
    own = ours.ask(case)
    row = {"case": case.get("name", ""), "ours": own["micros"], "ours_first": own["micros_first"]}
    found = picks(own)
    row["result"] = found if found == "error" else "no fit" if found is None else "fits"
    wanted = case.get("expect")
    row["right"] = row["result"] == wanted if isinstance(wanted, str) else None
    if upstream is None:
        return row
    row |= {"theirs": upstream["micros"], "theirs_first": upstream["micros_first"], "timeout": upstream["timeout"]}
    row["ratio"], row["first_ratio"] = own["micros"] / upstream["micros"], own["micros_first"] / upstream["micros"]
    row["same"] = None if upstream["timeout"] else picks(upstream) == found
    return row


def summary(rows: list[Json]) -> list[tuple[bool, str]]:
    """What must hold, each with whether it does."""
    slow = [row["case"] for row in rows if row["ours"] > LIMIT_MICROS]
    worst = max(row["ours"] for row in rows)
    lines = [(not slow, f"no case over 5 ms: slowest {worst / 1000:.2f} ms, {len(slow)} over")]
    wrong = [row["case"] for row in rows if row["right"] is False]
    lines.append((not wrong, f"results as the cases expect: {len(wrong)} wrong {wrong[:3] or ''}".rstrip()))
    compared = [row for row in rows if "theirs" in row]
    if not compared:
        return lines
    different = [row["case"] for row in compared if row["same"] is False]
    lines.append((not different, f"same devices as Kubernetes: {len(different)} differ {different[:3] or ''}".rstrip()))
    hard = [1 / row["ratio"] for row in compared if row["theirs"] > HARD_MICROS]
    if hard:
        text = f"hard cases (over 100 ms there), {len(hard)} of them: at least {min(hard):,.0f} times faster, asked 100"
        lines.append((min(hard) >= HARD_LEAST, text))
    easy = [row for row in compared if row["theirs"] < EASY_MICROS]
    if easy:
        median, most = statistics.median(row["ratio"] for row in easy), max(easy, key=lambda row: row["ratio"])
        first = max(easy, key=lambda row: row["first_ratio"])
        count = f"easy cases (under 1 ms there), {len(easy)} of them"
        lines.append((median <= EASY_MEDIAN, f"{count}: median ratio {median:.2f}, at most 0.5 asked"))
        lines.append(
            (most["ratio"] <= EASY_MOST, f"{count}: highest ratio {most['ratio']:.2f} ({most['case']}), 1 asked")
        )
        cold = max(row["ours_first"] / row["theirs_first"] for row in easy)
        text = f"{count}: shapes never seen before, selectors compiled on both sides, highest ratio {cold:.2f}, 5 asked"
        lines.append((cold <= FIRST_MOST, text))
        # Not a like for like comparison: one side compiles, the other has compiled before.
        text = f"{count}: ours never seen before to theirs prepared {first['first_ratio']:.1f} ({first['case']})"
        lines.append((True, text))
    return lines


def show(rows: list[Json]) -> None:
    """The table."""
    print(f"{'case':<58} {'theirs us':>13} {'ours us':>10} {'ratio':>8} {'first us':>10}  same  result")
    for row in rows:
        theirs = f"{'>' if row.get('timeout') else ''}{row['theirs']:,.1f}" if "theirs" in row else "-"
        ratio = f"{row['ratio']:.4f}" if "ratio" in row else "-"
        same = {True: "yes", False: "NO", None: "-"}[row.get("same")]
        result = row["result"] + ("" if row["right"] is not False else " WRONG")
        print(
            f"{row['case'][:58]:<58} {theirs:>13} {row['ours']:>10,.1f} {ratio:>8} {row['ours_first']:>10,.1f}  "
            f"{same:<4}  {result}"
        )


def main() -> int:
    """The command. Exit status 1 when something that must hold does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--repeat", type=int, default=200, metavar="N", help="calls a case, the fastest counts")
    parser.add_argument(
        "--budget-seconds", type=float, default=5, metavar="S", help="what Kubernetes' side may take a case"
    )
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    options = parser.parse_args()
    program = build()
    command = Path(sys.executable).with_name("fairlead")
    repeat = ["--repeat", str(options.repeat)]
    ours = Side(command, "allocate", "--cases", "-", *repeat)
    theirs = Side(program, *repeat, "--budget-seconds", str(options.budget_seconds)) if program else None
    rows = [compare(case, ours, theirs) for case in read_cases(options.cases)]
    for side in (ours, theirs):
        if side is not None:
            side.close()
    if not rows:
        print("no cases", file=sys.stderr)
        return 2
    lines = summary(rows)
    if options.output == "json":
        checks = [{"holds": holds, "text": text} for holds, text in lines]
        print(json.dumps({"cases": rows, "summary": checks}, indent=2))
    else:
        show(rows)
        print()
        for holds, text in lines:
            print(f"{'ok  ' if holds else 'MISS'} {text}")
    return 0 if all(holds for holds, _ in lines) else 1


if __name__ == "__main__":
    sys.exit(main())

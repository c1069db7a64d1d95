"""The files by which the container runtime learns what a device is."""

from __future__ import annotations

from fairlead.conformance.answers import cdi_ids
from fairlead.conformance.cdi import Spec, find, is_qualified
from fairlead.conformance.check import check, expect
from fairlead.conformance.claims import Made
from fairlead.conformance.kubelet import Answer
from fairlead.conformance.lab import Lab
from fairlead.conformance.outcomes import Skip

_CDI = "CDI specification 1.1.0"


@check(
    "cdi-exists",
    "Every CDI device of an answer is in a file",
    expected="The names are fully qualified (vendor/class=name), and a file in the CDI folder has each, when the "
    "answer comes.",
    source=_CDI,
    why="The runtime refuses the container: unresolvable CDI devices.",
)
async def exists(lab: Lab) -> str:
    _, answer = await _with_ids(lab)
    ids = cdi_ids(answer)
    bad = [one for one in ids if not is_qualified(one)]
    expect(not bad, f"not vendor/class=name: {', '.join(bad)}")
    expect(not lab.missing(answer), f"in no file of {lab.cdi}: {', '.join(lab.missing(answer))}")
    return ", ".join(ids)


@check(
    "cdi-valid",
    "CDI files are valid",
    expected="Files of the answer have a kind, devices with edits that are not empty, absolute paths, known hooks.",
    source=_CDI,
    why="A file that the runtime refuses makes all of its devices unknown (nvidia-gpu#1144: empty device edits for "
    "every claim).",
    after=("cdi-exists",),
)
async def valid(lab: Lab) -> str:
    specs = await _files(lab)
    problems = [f"{one.path.name}: {problem}" for one in specs for problem in one.problems]
    expect(not problems, "; ".join(problems[:3]))
    return ", ".join(one.path.name for one in specs)


@check(
    "cdi-version",
    "CDI files say a version that has their fields",
    expected="cdiVersion is at least the one that brought each field that is used.",
    source=_CDI + ": each field says since when",
    why="Runtimes check it and refuse the file; one that does not check ignores the field.",
    after=("cdi-exists",),
)
async def version(lab: Lab) -> str:
    specs = await _files(lab)
    low = [f"{one.path.name}: {one.version}, needs {one.stated_too_low}" for one in specs if one.stated_too_low]
    expect(not low, "; ".join(low))
    return ", ".join(sorted({one.version for one in specs}))


@check(
    "cdi-claim-scoped",
    "A claim has CDI devices of its own",
    expected="Two claims that get the same device one after the other get at least one CDI name that differs, and no "
    "name that they share changes its meaning.",
    source="practice: names hold the claim's UID",
    why="Runtimes keep what they read by name: a name that comes back with other edits starts a container with the old "
    "ones, and unpreparing one claim takes the name from the other (dra-driver-spyre).",
    after=("cdi-exists",),
)
async def claim_scoped(lab: Lab) -> str:
    first, answer = await _with_ids(lab)
    before = {one: _edits(lab, one) for one in cdi_ids(answer)}
    await lab.done(first)
    results = [dict(one) for one in first.results]
    second = await lab.prepared(lab.claims.make(results))
    now = {one: _edits(lab, one) for one in cdi_ids(second)}
    shared = sorted(before.keys() & now.keys())
    expect(before.keys() - now.keys(), f"both claims have {', '.join(shared)} and nothing else")
    changed = [one for one in shared if before[one] != now[one]]
    expect(not changed, f"has other edits for the second claim: {', '.join(changed)}")
    return ", ".join(sorted(now.keys() - before.keys())) + (f"; shared: {', '.join(shared)}" if shared else "")


@check(
    "cdi-restored",
    "A CDI file that has gone is made again",
    expected="When the files of a prepared claim are deleted, preparing again brings them back.",
    source="/var/run/cdi is empty after a reboot",
    why="The answer from the checkpoint names devices that no file has any more, and no pod of the node starts "
    "(nvidia-gpu#951, dra-example-driver PR#259).",
    after=("cdi-exists", "prepare-repeat"),
)
async def restored(lab: Lab) -> str:
    claim, answer = await _with_ids(lab)
    own = await lab.own_ids(answer)
    specs = lab.specs()
    held = {one[0].path: one[0].path.read_bytes() for name in sorted(own) if (one := find(specs, name)) is not None}
    for path in held:
        path.unlink()
    try:
        again = await lab.prepared(claim)
        expect(not lab.missing(again), f"in no file after preparing again: {', '.join(lab.missing(again))}")
    finally:
        for path, data in held.items():
            if not path.exists():  # what is not made again must not fail other checks
                path.write_bytes(data)
    return ", ".join(sorted(own))


async def _with_ids(lab: Lab) -> tuple[Made, Answer]:
    claim = lab.claims.make()
    answer = await lab.prepared(claim)
    if not cdi_ids(answer):
        raise Skip("the driver uses no CDI")
    return claim, answer


async def _files(lab: Lab) -> list[Spec]:
    _, answer = await _with_ids(lab)
    return _specs(lab, answer)


def _specs(lab: Lab, answer: Answer) -> list[Spec]:
    specs = lab.specs()
    found = {one[0].path: one[0] for name in cdi_ids(answer) if (one := find(specs, name)) is not None}
    return list(found.values())


def _edits(lab: Lab, name: str) -> object:
    found = find(lab.specs(), name)
    return found[1] if found is not None else None

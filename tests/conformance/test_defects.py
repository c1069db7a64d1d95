"""Each defect, planted into a driver that is correct otherwise, is found by exactly the check that is about it.

Most of them were read in published drivers; the checks' texts say where. Checks that start the driver anew are left out
where the defect is not about that, unless FAIRLEAD_DEFECTS=all.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from fairlead.conformance import Check, Options, Report, catalogue, run

RAW = Path(__file__).parent / "raw_driver.py"
CONFIGS = tuple({"apiVersion": "raw.example.com/v1", "kind": "KnobConfig", "level": level} for level in (1, 2))

EVERYTHING = os.environ.get("FAIRLEAD_DEFECTS") == "all"

DEFECTS = {
    # registration
    "version-unknown": {"registration-info"},
    "service-missing": {"registration-services", "prepare-devices", "unprepare-versions"},
    "ends-when-refused": {"registration-again"},
    # slices
    "attribute-too-long": {"slices-published", "slices-accepted"},
    "count-wrong": {"slices-complete"},
    "no-owner": {"slices-node"},
    "writes-always": {"slices-quiet"},
    "conflict-given-up": {"slices-conflict"},
    "publish-once": {"slices-deletion-repaired", "slices-edit-repaired"},
    "watch-not-renewed": {"slices-watch-expired"},
    "no-retry": {"slices-server-errors"},
    "generation-fixed": {"slices-leftover"},
    "slices-deleted-at-end": {"slices-kept"},
    "others-deleted": {"slices-others"},
    # attributes
    "attributes-dropped": {"attributes-any"},
    "numa-as-text": {"attributes-standard"},
    "reserved-name": {"attributes-reserved"},
    "taint-without-domain": {"attributes-taints"},
    # preparing
    "first-only": {"prepare-several"},
    "entries-cut": {"prepare-many"},
    "alternative-kept": {"prepare-alternative"},
    "not-repeatable": {"prepare-repeat"},
    "foreign-not-skipped": {"foreign-skipped"},
    "status-replaced": {"prepare-status"},
    "status-wrong": {"status-accepted"},
    # CDI
    "cdi-missing": {"cdi-exists"},
    "cdi-empty": {"cdi-valid"},
    "cdi-version-low": {"cdi-version"},
    "cdi-unscoped": {"cdi-claim-scoped"},
    "cdi-not-restored": {"cdi-restored", "reboot"},
    # refusing
    "first-device": {"refuse-unknown"},
    "uid-not-checked": {"refuse-uid"},
    "unallocated-accepted": {"refuse-unallocated"},
    "any-device": {"refuse-unknown-device"},
    "batch-fails": {"batch-isolated"},
    "overlap-accepted": {"overlap-refused"},
    "admin-refused": {"admin-access"},
    # configuration
    "foreign-config-read": {"config-foreign"},
    "config-ignored": {"config-unknown", "config-unknown-field"},
    "config-fields-ignored": {"config-unknown-field"},
    "class-wins": {"config-precedence"},
    "config-for-all": {"config-other-request"},
    # unpreparing
    "cdi-left": {"unprepare-cleans"},
    "unprepare-needs-state": {"unprepare-unknown"},
    "unprepare-reads-claim": {"unprepare-claim-gone"},
    "unprepared-once": {"unprepare-repeat"},
    "unprepare-asks-server": {"unprepare-api-down"},
    "entry-missing": {"unprepare-many"},
    # trouble, health, restarts
    "busy-for-ever": {"deadline"},
    "health-in-milliseconds": {"health-stream"},
    "socket-left": {"restart-told"},
    "stale-socket": {"restart-killed"},
    "checkpoint-in-place": {"restart-killed-preparing"},
}


def try_raw(defect: str, checks: Sequence[Check]) -> Report:
    """The report on the raw driver with a defect."""
    command = (sys.executable, str(RAW), defect, "{plugins}", "{registry}", "{cdi}", "{node}")
    # Not pytest's folder: the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as root:
        options = Options(Path(root), command, patience=10, settle=0.4, configs=CONFIGS)
        return asyncio.run(run(options, checks))


def seen(report: Report) -> dict[str, str]:
    """What was seen by the checks that failed."""
    return {one.check.id: one.seen for one in report.results if one.verdict == "fail"}


def test_without_a_defect_nothing_is_found() -> None:
    report = try_raw("none", catalogue())
    assert seen(report) == {}
    skipped = {one.check.id for one in report.results if one.verdict == "skip"}
    assert skipped == {"attributes-taints", "shares", "rolling-update"}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found_by_the_check_that_is_about_it(defect: str) -> None:
    restart = EVERYTHING or any(one.restarts and one.id in DEFECTS[defect] for one in catalogue())
    found = seen(try_raw(defect, [one for one in catalogue() if restart or not one.restarts]))
    assert found.keys() == DEFECTS[defect], found

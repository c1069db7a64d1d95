"""Faults at every write of the protocol, on a real control plane: docs/faults.md.

FAIRLEAD_FAULTS: how many are injected at least (1000). FAIRLEAD_SEED: what the plans are drawn from. Every fault is met
at every place first by one controller, without the lock; the last tenth of the faults by two that both believe they
lead, with the lock.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from locked import locked
from observer import Observer
from plan import Fault, Plans, sweep
from rig import Rig, save, unexplained
from running import RULES
from workload import NAMESPACE, Unit, cluster, draw, leaked, not_ours, open_ends, torn

from kube import ApiError, ControlPlane, MissingProgramError, add_cluster, find_programs

pytestmark = pytest.mark.faults

WANTED = int(os.environ.get("FAIRLEAD_FAULTS", "1000"))
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
CLAIMS = f"/apis/resource.k8s.io/v1/namespaces/{NAMESPACE}/resourceclaims"
SETTLES = 90.0
"""Seconds within which everything must have come to its end; the longest pauses of all who take part add up to less."""
FAULTS = 28
"""Planned for a scenario; some of the requests that they are aimed at never come."""


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A control plane of its own: its API server is killed again and again."""
    try:
        find_programs()
    except MissingProgramError as error:
        pytest.skip(str(error))
    plane = ControlPlane()
    plane.start()
    yield plane
    plane.stop(keep=request.session.testsfailed > 0)


class Run:
    """Scenario after scenario on one control plane."""

    def __init__(self, plane: ControlPlane, seed: int) -> None:
        self.plane = plane
        self.seed = seed
        self.chance = random.Random(seed)
        self.plans = Plans(self.chance)
        self.injected: Counter[tuple[str, str]] = Counter()
        self.began = time.monotonic()
        self.scenarios = self.bound = self.waited = 0
        self.seconds: Counter[str] = Counter()
        self.before: list[Fault] = []
        plane.namespace(NAMESPACE)
        add_cluster(plane.api, cluster())
        self.rig = Rig(plane, plane.service_account("fairlead", RULES))
        self.seen = Observer(plane.api)

    @property
    def count(self) -> int:
        """Faults that were injected."""
        return sum(self.injected.values())

    def inject(self, wanted: int) -> None:
        """Runs scenarios until so many faults were injected in all."""
        while self.count < wanted:
            self.scenario()
            if self.scenarios % 10 == 0:
                rate = self.count / (time.monotonic() - self.began) * 60
                print(f"{self.scenarios} scenarios, {self.count} faults, {rate:.0f} a minute", flush=True)

    def scenario(self) -> None:
        """One workload with its faults, from its first pod to its last claim.

        Raises:
            AssertionError: a check failed; the text has all it takes to look into it.
        """
        self.scenarios += 1
        units = draw(self.chance)
        faults = self.plans.next(FAULTS)
        if self.rig.controllers > 1:  # one of them does not know what the other has given out
            faults += [Fault("hold events", "watch ResourceClaim", number) for number in (1, 12, 30)]
        remade: set[str] = set()
        self.seen.wrong.clear()
        self.rig.wrong.clear()
        log = self.rig.begin(faults, self._teardown(units, remade, faults))
        try:
            self._play(units, remade)
        except TimeoutError as error:
            self.rig.wrong.append(str(error))
        lines = self.rig.lines(log)
        wrong = [*self.seen.wrong, *self.rig.wrong]
        wrong += [f"unexplained: {line}" for line in unexplained(lines, [*self.before, *faults])[:5]]
        self.injected.update((fault.how, fault.where.partition(" ")[0]) for fault in faults if fault.injected)
        self.plans.done(faults)
        self.before = faults
        if wrong:
            path = save(self.plane.folder / "logs" / f"scenario-{self.scenarios}.log", lines)
            parts = [f"seed {self.seed}, scenario {self.scenarios}", *wrong, "faults:", *map(str, faults)]
            parts += ["units:", *map(str, units), f"made anew: {sorted(remade)}", f"log: {path}"]
            raise AssertionError("\n  ".join(parts))

    def _teardown(self, units: list[Unit], remade: set[str], faults: list[Fault]) -> Any:
        """Deletes a pod of the first gang once another of its claims is allocated, and makes it anew.

        Under the same name, but where the API server is killed: controller manager takes a pod of the same name that
        was made while it did not watch for the same pod, and never gives back what the first one held.
        """
        gang = next(unit for unit in units if unit.name == "g0")
        victim = self.chance.choice(gang.names)
        successor = f"{victim}-again" if any(fault.how.startswith("restart") for fault in faults) else victim
        at = self.chance.randint(1, gang.size)
        again = self.chance.random() < 0.95
        allocated = 0

        async def written(purpose: str, name: str) -> None:
            nonlocal allocated
            if purpose == "allocate" and name.startswith("g0-"):
                allocated += 1
                if allocated == at:
                    remade.update((victim, successor))
                    gang.names = [successor if name == victim else name for name in gang.names]
                    await asyncio.to_thread(insist, lambda: self._delete(victim))
                    gang.wanted = (gang.wanted - {victim}) | ({successor} if again else set())
                    if again:
                        asyncio.get_running_loop().call_later(0.2, asyncio.ensure_future, anew())

        async def anew() -> None:
            await asyncio.to_thread(insist, lambda: self.plane.api.create(gang.pod(successor)))

        return written

    def _play(self, units: list[Unit], remade: set[str]) -> None:
        began = time.monotonic()
        for unit in units:
            for claim in unit.claims():
                insist(lambda claim=claim: self.plane.api.create(claim))
        pods = [unit.pod(name) for unit in units for name in unit.names]
        self.chance.shuffle(pods)
        for pod in pods:
            insist(lambda pod=pod: self.plane.api.create(pod))
        for unit in units:
            if not unit.gang and self.chance.random() < 0.15:  # on its way
                for name in unit.names:
                    insist(lambda name=name: self._delete(name))
                unit.wanted.clear()
        self.seconds["creating pods"] += time.monotonic() - began
        self._settle(units, remade)
        leaving = [unit for unit in units if unit.wanted and self.chance.random() < 0.5]
        for unit in leaving:
            for name in unit.names:
                insist(lambda name=name: self._delete(name))
            unit.wanted.clear()
        self._settle(units, remade)
        insist(lambda: self.plane.api.clear(PODS))
        self._until(lambda: leaked(self.seen), "no claim to have anything any more")
        insist(lambda: self.plane.api.clear(CLAIMS))
        self._until(lambda: list(self.seen.claims), "claims that stand alone to go")

    def _settle(self, units: list[Unit], remade: set[str]) -> None:
        self._until(lambda: open_ends(units, self.seen), "every pod to be bound or to wait rightly")
        self.rig.wrong += torn(units, self.seen, remade) + not_ours(self.seen)
        with self.seen.lock:
            bound = sum(bool(pod["spec"].get("nodeName")) for pod in self.seen.pods.values())
            self.bound, self.waited = self.bound + bound, self.waited + len(self.seen.pods) - bound

    def _until(self, left: Callable[[], list[str]], what: str) -> None:
        began = time.monotonic()
        while found := left():
            if time.monotonic() > began + SETTLES:
                raise TimeoutError(f"waited {SETTLES:g} s for {what}: {'; '.join(found[:8])}")
            time.sleep(0.05)
        self.seconds[f"waiting for {what}"] += time.monotonic() - began

    def _delete(self, name: str) -> None:
        try:
            self.plane.api.delete(f"{PODS}/{name}", grace_seconds=0)
        except ApiError as error:
            if error.code != 404:
                raise

    def table(self) -> str:
        """How often each fault was injected where."""
        columns = ("finalizer", "allocate", "clear", "open", "say", "mark", "list", "watch")
        rows = list(dict.fromkeys(how for how, _ in sweep()))
        lines = [f"{'':22}" + "".join(f"{column:>10}" for column in columns)]
        for how in rows:
            lines.append(f"{how:22}" + "".join(f"{self.injected[how, column] or '':>10}" for column in columns))
        sums = [sum(count for (_, at), count in self.injected.items() if at == column) for column in columns]
        return "\n".join([*lines, f"{'sum':22}" + "".join(f"{number:>10}" for number in sums)])


def insist(what: Callable[[], object]) -> None:
    """Does something on an API server that may be starting again; done twice is done."""
    deadline = time.monotonic() + 60
    doubted = False
    while True:
        try:
            what()
            return
        except ApiError as error:
            if doubted and error.code == 409:
                return
            if error.code not in (401, 403, 429, 500, 503, 504) or time.monotonic() > deadline:
                raise
        except OSError:
            if time.monotonic() > deadline:
                raise
        doubted = True
        time.sleep(0.1)


@pytest.fixture(scope="module")
def run(plane: ControlPlane) -> Iterator[Run]:
    """Both tests' scenarios, on one control plane; at the end a table of what was injected."""
    seed = int(os.environ.get("FAIRLEAD_SEED", random.SystemRandom().randrange(2**32)))
    print(f"\nFAIRLEAD_SEED={seed}", flush=True)
    made = Run(plane, seed)
    yield made
    made.rig.stop()
    made.seen.stop()
    minutes = (time.monotonic() - made.began) / 60
    rate = made.count / minutes
    print(f"\n{made.table()}")
    print(f"{made.count} faults in {made.scenarios} scenarios, {minutes:.1f} minutes, {rate:.0f} a minute")
    print("seconds:", ", ".join(f"{seconds:.0f} {what}" for what, seconds in made.seconds.most_common()))
    print(f"{made.rig.deaths} controllers killed, {made.rig.restarts} times the API server")
    locks = made.rig.log.read_text(errors="replace").count("lock.fairlead.dev")
    print(f"{locks} times the lock said no in the log")
    print(f"{made.seen.seen} events of pods and claims looked at; pods bound {made.bound}, waiting {made.waited}")
    assert made.rig.wrong == []


def test_every_fault_at_every_write(run: Run) -> None:
    run.inject(round(WANTED * 0.9))
    while run.plans.left:
        run.inject(run.count + 1)


def test_two_that_both_believe_they_lead_are_kept_apart_by_the_lock(run: Run) -> None:
    with locked(run.plane):
        run.rig.controllers = 2
        run.inject(run.count + round(WANTED * 0.1))

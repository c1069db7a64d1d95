"""How long a gang takes, beside the CP-SAT solver on the same question: `make bench-gangs`.

A made-up cluster: 32 nodes a leaf, 8 leaves a spine, 8 GPUs a node with a NIC each. 35 % of the nodes are partly busy,
with a random set of free GPUs; that set is the node's kind. A pod takes k GPUs, the same ones on every node
(rail-aligned), so every set of k is an alignment and a node holds one pod. The cost of a node is the worth of what is
left free on it, by a table over sets of GPUs (each GPU, each pair behind one switch, each pair in one half), so that
broken nodes go first.

Minimised in this order: spines, leaves, nodes, cost. Times are medians of several runs, from sites with kinds and
offers by kind to the answer; sites grouped by domain are kept between decisions, as a scheduler would (`Sites`).

CP-SAT gets the counts, not a variable for every node: per rail set, leaf and kind an int for the nodes that are used,
and a bool for each leaf, spine and rail set. It is the smaller formulation, with one weighted sum as objective. It
runs with 2 workers and 30 s at most (`--solver-seconds`), once for each case, and only on the cases marked for it: the
model for 16,000 nodes and 28 or more rail sets has over 100,000 variables. Without ortools only our own times are
shown.
"""

import argparse
import random
import statistics
import time
from dataclasses import dataclass
from itertools import combinations

from fairlead.placement.gangs import Gang, Offer, Placement, Role, Site, Sites, solve

GPUS = 8
FULL = (1 << GPUS) - 1
LEAF_NODES = 32
SPINE_LEAVES = 8


@dataclass(frozen=True)
class Case:
    nodes: int
    pods: int
    gpus: int
    target_ms: float | None
    solver: bool


CASES = [
    Case(1000, 64, 8, 10, True),
    Case(1000, 64, 4, 50, True),
    Case(1000, 8, 4, None, True),
    Case(1000, 64, 2, None, True),
    Case(4000, 64, 8, None, False),
    Case(4000, 64, 4, None, False),
    Case(16000, 64, 8, 200, True),
    Case(16000, 64, 4, None, False),
    Case(16000, 64, 2, 1000, True),
    Case(16000, 1024, 8, None, False),
    Case(16000, 1024, 2, None, False),
]


def worth(mask: int) -> int:
    """What a set of free GPUs of one node is worth."""
    free = [gpu for gpu in range(GPUS) if mask >> gpu & 1]
    pairs = list(combinations(free, 2))
    return 10 * len(free) + sum(4 if a // 2 == b // 2 else 2 if a // 4 == b // 4 else 1 for a, b in pairs)


WORTH = [worth(mask) for mask in range(FULL + 1)]


def cluster(nodes: int, seed: int) -> Sites:
    """Sites whose kinds are sets of free GPUs."""
    rng = random.Random(seed)
    sites = []
    for place in range(nodes):
        leaf = place // LEAF_NODES
        kind = rng.randrange(FULL) if rng.random() < 0.35 else FULL
        sites.append(Site(f"node-{place}", (f"spine-{leaf // SPINE_LEAVES}", f"leaf-{leaf}"), kind))
    return Sites(("spine", "leaf"), sites)


def rails(gpus: int) -> list[Offer]:
    """An offer for every set of that many rails."""
    offers = []
    for chosen in combinations(range(GPUS), gpus):
        mask = sum(1 << gpu for gpu in chosen)
        kinds = {kind: (WORTH[kind & ~mask],) for kind in range(FULL + 1) if kind & mask == mask}
        offers.append(Offer(frozenset(chosen), 0, kinds))
    return offers


def ours(case: Case, runs: int) -> tuple[float, float, tuple[int, ...]]:
    """Median milliseconds of wall clock and of processor, and the objective."""
    sites = cluster(case.nodes, seed=1)
    offers = rails(case.gpus)
    gang = Gang((Role("worker", case.pods),))
    wall, processor = [], []
    answer = None
    for _ in range(runs):
        start, start_processor = time.perf_counter(), time.process_time()
        answer = solve(sites, gang, offers)
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    assert isinstance(answer, Placement)
    assert answer.proven
    objective = (*answer.objective.domains, answer.objective.nodes, answer.objective.cost)
    return statistics.median(wall) * 1e3, statistics.median(processor) * 1e3, objective


def solver(case: Case, seconds: float) -> str:
    """What CP-SAT says of the case, or why it was not asked."""
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        return "not installed"
    if not case.solver:
        return "not asked"
    sites = cluster(case.nodes, seed=1)
    offers = rails(case.gpus)
    start = time.perf_counter()
    model = cp_model.CpModel()
    most = max(WORTH) * case.pods + 1
    chosen = [model.new_bool_var("") for _ in offers]
    placed: list[list[object]] = [[] for _ in offers]
    costs = []
    model.add_exactly_one(chosen)
    for spine in sites.root.children.values():
        spine_used = model.new_bool_var("")
        costs.append(spine_used * most * (case.pods + 1))
        for leaf in spine.children.values():
            leaf_used = model.new_bool_var("")
            model.add_implication(leaf_used, spine_used)
            costs.append(leaf_used * most)
            here = []
            for kind in sorted(set(leaf.kinds)):
                count = leaf.kinds.count(kind)
                for index, offer in enumerate(offers):
                    if kind in offer.kinds:
                        nodes = model.new_int_var(0, count, "")
                        here.append(nodes)
                        placed[index].append(nodes)
                        costs.append(nodes * offer.kinds[kind][0])
            if here:
                model.add(sum(here) <= len(leaf.kinds) * leaf_used)
    for index, nodes_of in enumerate(placed):
        model.add(sum(nodes_of) == case.pods * chosen[index])
    model.minimize(sum(costs))
    built = time.perf_counter() - start
    cp_solver = cp_model.CpSolver()
    cp_solver.parameters.max_time_in_seconds = seconds
    cp_solver.parameters.num_workers = 2
    start = time.perf_counter()
    status = cp_solver.solve(model)
    took = time.perf_counter() - start
    text = f"{took:.2f} s + {built:.2f} s build: {cp_solver.status_name(status)}"
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        text += f" {parts(round(cp_solver.objective_value), most, case.pods)}"
        if status == cp_model.FEASIBLE:
            text += f", its bound is {cp_solver.best_objective_bound / cp_solver.objective_value:.0%} of that sum"
    return text


def parts(value: int, most: int, pods: int) -> tuple[int, ...]:
    """Spines, leaves, nodes and cost of CP-SAT's sum."""
    return value // most // (pods + 1), value // most % (pods + 1), pods, value % most


def main() -> None:
    """Prints a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="runs of ours, of which the median is taken")
    parser.add_argument("--solver-seconds", type=float, default=30, help="limit of CP-SAT for one case; 0: do not ask")
    options = parser.parse_args()
    print("objectives are (spines, leaves, nodes, cost); every answer of ours is proven optimal")
    print(f"{'nodes':>6} {'pods':>5} {'GPUs':>4} {'wall':>10} {'processor':>10} {'target':>8}  objective / CP-SAT")
    for case in CASES:
        wall, processor, objective = ours(case, options.runs)
        target = f"{case.target_ms:.0f} ms" if case.target_ms else ""
        times = f"{wall:7.1f} ms {processor:7.1f} ms"
        print(f"{case.nodes:6} {case.pods:5} {case.gpus:4} {times} {target:>8}  {objective}", flush=True)
        if options.solver_seconds:
            print(f"{'':50}{solver(case, options.solver_seconds)}", flush=True)


if __name__ == "__main__":
    main()

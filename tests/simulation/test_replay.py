"""Arrivals of a seed, runs that can be repeated, and what is measured at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from traces import small

from fairlead.placement.packing import NODE_POLICIES
from fairlead.simulation import Trace, arrivals, read_nodes, read_pods, replay, typical


def asked(trace: Trace, names: list[str]) -> int:
    rows = {row.name: row for row in trace.pods}
    found = [rows[name.partition("-copy-")[0]] for name in names]
    return sum(row.num_gpu * row.gpu_milli for row in found)


def test_without_inflation_everybody_comes_once() -> None:
    trace = small()
    names = [pod.pod.name for pod in arrivals(trace, 7).pods]
    assert sorted(names) == sorted(row.name for row in trace.pods)


@pytest.mark.parametrize("inflate", [1.0, 1.3, 4.0])
def test_pods_are_added_until_one_more_would_be_too_many(inflate: float) -> None:
    trace = small()
    names = [pod.pod.name for pod in arrivals(trace, 7, inflate).pods]
    assert len(set(names)) == len(names)
    most = inflate * trace.gpu_milli
    assert max(asked(trace, names[:6]), most - 2000) <= asked(trace, names) <= max(asked(trace, names[:6]), most)


def test_a_seed_decides_the_order_of_pods_and_nodes() -> None:
    trace = small()
    shuffled = Trace(list(reversed(trace.nodes)), list(reversed(trace.pods)))
    assert arrivals(trace, 7, 3.0).pods == arrivals(shuffled, 7, 3.0).pods
    assert arrivals(trace, 7, 3.0).order == arrivals(trace, 7, 3.0).order
    orders = {tuple(arrivals(trace, seed).order) for seed in range(20)}
    assert len(orders) == 6


def test_typical_pods_are_those_of_the_trace() -> None:
    weights = [one.weight for one in typical(small())]
    assert sum(weights) == pytest.approx(1)
    assert all(one.memory == 0 for one in typical(small()))


@pytest.mark.parametrize("policy", NODE_POLICIES)
def test_a_run_can_be_repeated(policy: str) -> None:
    told: list[int] = []
    first = replay(small(), policy, 3, 2.0, told.append)
    assert first == replay(small(), policy, 3, 2.0)
    assert sum(told) == first.arrived
    assert 0 < first.measures.allocated <= 100
    assert first.placed <= first.arrived


def test_what_is_allocated_and_of_no_use_is_counted_in_devices() -> None:
    nodes = read_nodes("sn,cpu_milli,memory_mib,gpu,model\nn,10,10,2,T4\n", "n")
    # The pod takes half a GPU and all the CPU, so nothing of what is left can serve another one like it.
    pods = read_pods("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,10,1,1,500\n", "p")
    run = replay(Trace(nodes, pods), "pack", 1, 0)
    assert (run.measures.allocated, run.measures.fragmentation) == (25.0, 100.0)
    smaller = read_pods("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,5,1,1,600\n", "p")
    run = replay(Trace(nodes, smaller), "pack", 1, 0)
    # 0.4 of one GPU is of no use to a pod that wants 0.6, the other GPU is.
    assert run.measures.allocated == pytest.approx(30)
    assert run.measures.fragmentation == pytest.approx(100 * 0.4 / 1.4)


def test_a_cluster_without_gpus_has_nothing_to_allocate() -> None:
    nodes = read_nodes("sn,cpu_milli,memory_mib,gpu,model\nn,10,10,0,\n", "n")
    pods = read_pods("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,10,1,0,0\nq,1,1,1,10\n", "p")
    run = replay(Trace(nodes, pods), "pack", 1)
    assert (run.measures, run.placed, run.arrived) == ((0, 0), 1, 2)


def test_the_recorded_cluster_fills_as_published(shared: Path) -> None:
    """One seed, with room for how seeds differ; the means over ten seeds are in docs/policies.md."""
    folder = shared / "traces" / "openb"
    if not folder.is_dir():
        pytest.skip("no openb traces there")
    nodes = read_nodes((folder / "openb_node_list_gpu_node.csv").read_text(), "nodes")
    pods = read_pods((folder / "openb_pod_list_default.csv").read_text(), "pods")
    run = replay(Trace(nodes, pods), "fgd", 42, 1.3)
    assert run.measures.allocated == pytest.approx(95.39, abs=0.5)
    assert run.measures.fragmentation > 95

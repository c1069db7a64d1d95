"""What is moved where, and which of equally small plans is taken."""

from __future__ import annotations

from clusters import Running, moved, plan_for, rig, waiting
from msgspec.structs import replace
from places import claim, gpus, node, planned, pod

import builders
from fairlead.placement import Planner
from fairlead.resource import PlannedPod

HOST = "kubernetes.io/hostname"


def pinned(unit: list[PlannedPod], **labels: str) -> list[list[PlannedPod]]:
    """The workload with a node selector."""
    made = []
    for one in unit:
        spec = replace(one.pod.spec, node_selector={key.replace("__", "/"): value for key, value in labels.items()})
        made.append(PlannedPod(replace(one.pod, spec=spec), one.owner, one.group, one.claims))
    return [made]


def test_a_workload_that_fits_moves_nobody() -> None:
    running = Running()
    running.add("a", "n1", "gpu-0")
    found = plan_for(running.on(*rig("n1", "n2")), waiting())
    assert found.moves == ()
    assert found.proven
    assert [one.node for one in found.placements] == ["n2"]


def test_a_pod_that_finds_no_other_place_is_left_for_the_next_candidate() -> None:
    running = Running()
    running.add("a-stays", "n1", "gpu-0", nodeSelector={HOST: "n1"})
    running.add("b-goes", "n2", "gpu-0")
    running.add("c", "n3", "gpu-0", owner="")
    found = plan_for(running.on(*rig("n1", "n2", "n3")), waiting())
    assert moved(found) == ["b-goes"]
    assert found.tried == 2
    assert found.proven


def test_a_moved_pod_may_push_another_one() -> None:
    running = Running()
    running.add("a", "n1", "gpu-0", nodeSelector={"zone": "z"})
    running.add("b", "n2", "gpu-0")
    running.add("c", "n2", "gpu-1", owner="")
    running.add("d", "n3", "gpu-1", owner="")
    nodes, slices = rig("n1", "n2", "n3")
    nodes = [node("n1", {"zone": "z"}), node("n2", {"zone": "z"}), nodes[2]]
    found = plan_for(running.on(nodes, slices), pinned(waiting()[0], zone="z"))
    assert moved(found) == ["a", "b"]
    assert not found.proven
    assert found.at_least == 1


def test_a_pod_may_move_to_other_devices_of_its_node() -> None:
    root = builders.ROOT
    devices = [builders.device(f"gpu-{n}", {root: f"pci0000:{n // 2}"}) for n in range(4)]
    slice_ = builders.slice_(devices, pool="n1", nodeName="n1")
    running = Running()
    running.add("a", "n1", "gpu-0")
    running.add("b", "n1", "gpu-2")
    wanted = claim("close", builders.request("gpu", 2), constraints=[builders.match(root)])
    found = plan_for(running.on([node("n1")], [slice_]), [[planned(pod("close"), wanted)]])
    assert len(moved(found)) == 1
    (move,) = found.moves or ()
    assert move.placement.node == move.mover.node == "n1"


def test_no_plan_where_nobody_has_another_place() -> None:
    running = Running()
    for name in ("n1", "n2"):
        running.add(f"{name}-0", name, "gpu-0")
        running.add(f"{name}-1", name, "gpu-1")
    found = plan_for(running.on(*rig("n1", "n2")), waiting())
    assert found.moves is None
    assert found.possible
    assert found.at_least == 2
    assert found.short is not None
    assert (found.short.free, found.short.needed) == (0, 2)


def test_enough_free_devices_in_the_wrong_places_are_no_plan_either() -> None:
    running = Running()
    for name in ("n1", "n2"):
        running.add(name, name, "gpu-0", nodeSelector={HOST: name})
    found = plan_for(running.on(*rig("n1", "n2")), waiting())
    assert found.moves is None
    assert found.short is None
    assert found.at_least == 1
    assert set(found.stuck) == {"ml/n1", "ml/n2"}


def test_devices_of_another_kind_count_where_moved_pods_can_use_them() -> None:
    kinds = {"n1": "big", "n2": "small"}
    slices = [gpus(name, kind=kind) for name, kind in kinds.items()]
    picky = builders.request("gpu", 2, f'device.attributes["{builders.DRIVER}"].kind == "big"')
    running = Running()
    for number in range(2):
        running.add(f"a{number}", "n1", f"gpu-{number}")
    on = running.on([node("n1"), node("n2")], slices)
    assert moved(plan_for(on, [[planned(pod("w"), claim("w", picky))]])) == ["a0", "a1"]


def test_no_plan_has_more_moves_than_asked_for() -> None:
    running = Running()
    running.add("a", "n1", "gpu-0")
    running.add("b", "n1", "gpu-1")
    running.add("c", "n2", "gpu-0", owner="")
    on = running.on(*rig("n1", "n2", gpus_each=3))
    assert moved(plan_for(on, waiting(gpus_each=3))) == ["a", "b"]
    found = plan_for(on, waiting(gpus_each=3), max_moves=1)
    assert found.moves is None
    assert found.at_least == 2


def test_fewer_workloads_are_disrupted() -> None:
    running = Running()
    running.add("a", "n1", "gpu-0", owner="Job/one")
    running.add("b", "n2", "gpu-0", owner="Job/two")
    running.add("c", "n3", "gpu-0", owner="Job/two")
    running.add("d", "n4", "gpu-0", owner="Job/three")
    found = plan_for(running.on(*rig("n1", "n2", "n3", "n4")), waiting(2))
    assert moved(found) == ["b", "c"]
    assert found.disrupted == ["Job ml/two"]
    assert found.movable.pods_of["Job ml/two"] == 2
    assert all(move.mover.gang for move in found.moves or ())


def test_lower_priorities_move() -> None:
    running = Running()
    running.add("a", "n1", "gpu-0", priority=5)
    running.add("b", "n2", "gpu-0", priority=3)
    running.add("c", "n3", "gpu-0", priority=9)
    found = plan_for(running.on(*rig("n1", "n2", "n3")), waiting(priority=10))
    assert moved(found) == ["b"]


def test_fewer_moves_go_before_lower_priorities() -> None:
    nodes, slices = rig("n1", "n2", "n3")
    nodes[2] = node("n3", taints=["keep=out:NoSchedule"])
    running = Running()
    tolerates = [{"key": "keep", "operator": "Exists"}]
    running.add("a", "n1", "gpu-0", "gpu-1", priority=5, tolerations=tolerates)
    for number in range(2):
        running.add(f"b{number}", "n2", f"gpu-{number}", tolerations=tolerates)
    assert moved(plan_for(running.on(nodes, slices), waiting(priority=10))) == ["a"]


def test_the_required_level_decides_where_room_is_made() -> None:
    running = Running()
    running.add("a", "a1", "gpu-0")
    running.add("b", "b1", "gpu-0")
    running.add("c", "b2", "gpu-0")
    rack = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c"}
    found = plan_for(running.on(*rig(*rack, rack=rack)), waiting(2, gang='{"required": ["rack"]}'))
    assert moved(found) == ["a"]
    assert sorted(one.node for one in found.placements) == ["a1", "a2"]


def test_a_moved_pod_of_a_gang_stays_in_the_rack_that_it_requires() -> None:
    ask = {"fairlead.dev/gang": '{"required": ["rack"]}'}
    rack = {"a1": "a", "a2": "a", "b1": "b"}
    running = Running()
    running.add("a", "a1", "gpu-0", owner="Job/one", annotations=ask)
    running.add("keeps-b1", "b1", "gpu-0", owner="")
    running.add("keeps-a2", "a2", "gpu-0", owner="")
    found = plan_for(running.on(*rig(*rack, rack=rack)), waiting())
    (move,) = found.moves or ()
    assert move.placement.node == "a2"
    running.add("fills-a2", "a2", "gpu-1", owner="")
    assert plan_for(running.on(*rig(*rack, rack=rack)), waiting()).moves is None


def test_cpu_is_room_too() -> None:
    running = Running()
    running.add("a", "n1", cpu="3")
    running.add("b", "n2", cpu="3", owner="")
    nodes = [node("n1", cpu="4"), node("n2", cpu="6")]
    assert moved(plan_for(running.on(nodes, []), waiting(gpus_each=0, cpu="4"))) == ["a"]


def test_several_pods_without_a_gang_are_placed_all() -> None:
    running = Running()
    running.add("a", "n1", "gpu-0")
    running.add("b", "n2", "gpu-0")
    (members,) = waiting(2)
    alone = [[PlannedPod(one.pod, one.owner, None, one.claims)] for one in members]
    found = plan_for(running.on(*rig("n1", "n2", "n3")), alone)
    assert len(found.placements) == 2
    assert len(moved(found)) == 1


def test_devices_that_several_nodes_reach_are_set_free_too() -> None:
    fabric = builders.slice_(builders.devices("ch-0"), driver="fabric.example.com", pool="net", allNodes=True)
    spare = builders.slice_(
        builders.devices("ch-1"), driver="fabric.example.com", pool="far", nodeSelector=builders.labelled("far", "yes")
    )
    device_class = {
        "metadata": {"name": "fabric"},
        "spec": {"selectors": [{"cel": {"expression": 'device.driver == "fabric.example.com"'}}]},
    }
    running = Running()
    running.add("a", "n2", "gpu-0")
    status = {
        "allocation": {
            "devices": {"results": [{"request": "ch", "driver": "fabric.example.com", "pool": "net", "device": "ch-0"}]}
        },
        "reservedFor": [{"resource": "pods", "name": "a", "uid": ""}],
    }
    running.claims[-1] = claim("a-gpu", builders.request("ch", device_class="fabric"), status=status)
    wanted = claim("w", builders.request("ch", device_class="fabric"))
    unit = pinned([planned(pod("w"), wanted)], **{"kubernetes.io__hostname": "n1"})
    nodes = [node("n1"), node("n2"), node("n3", {"far": "yes"})]
    found = plan_for(running.on(nodes, [fabric, spare, gpus("n2")], classes=[device_class]), unit)
    assert moved(found) == ["a"]


def test_what_is_lifted_and_put_back_is_as_before() -> None:
    running = Running()
    first = running.add("a", "n1", "gpu-0", "gpu-1", cpu="4")
    on = running.on(*rig("n1", cpu="4"))
    planner = Planner(on)
    held = [one for one in on.claims if one.name == "a-gpu"]
    wants = planned(
        pod("w", {"name": "c", "resources": {"requests": {"cpu": "4"}}}), claim("w", builders.request("gpu", 2))
    )
    assert not planner.place(wants).placed
    planner.lift(first, [replace(one, status=type(one.status)()) for one in held])
    assert planner.place(wants).placed
    planner.remove(wants)
    planner.put_back(first, held)
    assert not planner.place(wants).placed


def test_the_bound_counts_cpu() -> None:
    nodes = [node("n1", cpu="6"), node("n2", cpu="6", taints=["keep=out:NoSchedule"])]
    running = Running()
    for number in range(3):
        running.add(f"a{number}", "n1", cpu="2", tolerations=[{"key": "keep", "operator": "Exists"}])
    found = plan_for(running.on(nodes, []), waiting(gpus_each=0, cpu="4"))
    assert len(moved(found)) == 2
    assert found.at_least == 2

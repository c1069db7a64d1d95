"""Claims for Spyre: allocated by the product's allocator, prepared and unprepared by the kit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fairlead.driver import PrepareError
from fairlead.driver.store import Store
from fairlead.drivers.spyre import SpyreDriver
from fairlead.drivers.spyre.folders import ClaimFolders
from fairlead.hardware import RecordedMachine, Recording, RecordingMachine
from fairlead.resource import read_paths
from tests.drivers.ibm import NODE, Node, claim, device_class, pod, pods
from tests.drivers.spyre.machines import CARDS, layout, lose, place
from tests.drivers.spyre.machines import cards as make_cards
from tests.drivers.spyre.machines import with_virtual as make_virtual

CLASS = "spyre.ibm.com"
CARD = {"cel": {"expression": f"device.attributes['{CLASS}'].productId == '06a7'"}}
VIRTUAL = {"cel": {"expression": f"device.attributes['{CLASS}'].productId == '06a8'"}}


@pytest.fixture
def tree(tmp_path):
    return make_cards(tmp_path / "root")


@pytest.fixture
def virtual(tmp_path):
    return make_virtual(tmp_path / "root")


def node_of(tree, tmp_path, **options):
    return Node(driver_of(tree.machine, tmp_path, **options), tmp_path)


def driver_of(machine, tmp_path, **options):
    options.setdefault("templates", tmp_path / "templates")
    return SpyreDriver(machine, NODE, folders=ClaimFolders(tmp_path / "state"), **options)


@pytest.fixture
def node(tree, tmp_path):
    return node_of(tree, tmp_path)


def devices(claims):
    return [result.device for one in claims for result in one.status.allocation.devices.results]


def ask(count: int, *selectors, **more):
    return {"deviceClassName": CLASS, "count": count, "selectors": list(selectors), **more}


def config_of(tmp_path, made, request="one"):
    folder = tmp_path / "state/container-config" / made.metadata.uid / request
    return json.loads((folder / "senlib_config.json").read_text())


def test_a_claim_gets_its_nodes_its_configuration_and_its_variables(node, tmp_path):
    ((_, (made,)),) = node.allocated(*pods("a", **ask(2)))
    assert devices([made]) == ["0000-1a-00-0", "0000-1c-00-0"]
    node.prepare(made)
    first, second = node.edits(made)
    assert first["deviceNodes"] == [
        {"path": "/dev/vfio/vfio", "hostPath": "/dev/vfio/vfio", "permissions": "rw"},
        {"path": "/dev/vfio/40", "hostPath": "/dev/vfio/40", "permissions": "rw"},
    ]
    assert second["env"] == [
        f"KUBERNETES_NODE_NAME={NODE}",
        "DRA_RESOURCE_DRIVER_NAME=spyre.ibm.com",
        "PCIDEVICE_IBM_COM_AIU_PF=0000:1a:00.0,0000:1c:00.0",
        "AIU_DEVICE_1=0000:1c:00.0",
    ]
    config = tmp_path / "state/container-config" / made.metadata.uid / "one"
    metrics = tmp_path / "state/container-metrics" / made.metadata.uid
    assert first["mounts"] == second["mounts"]
    assert first["mounts"] == [
        {"hostPath": str(config), "containerPath": "/etc/aiu", "options": ["nosuid", "nodev", "bind", "ro"]},
        {"hostPath": str(metrics), "containerPath": "/data", "options": ["nosuid", "nodev", "bind", "rw"]},
    ]
    assert json.loads((config / "topo.json").read_text()) == layout()
    assert metrics.stat().st_mode & 0o777 == 0o777
    assert config_of(tmp_path, made) == {
        "GENERAL": {
            "target": "SOC",
            "sen_bus_id": ["0000:1a:00.0", "0000:1c:00.0"],
            "doom": False,
            "multi_aiu_config_path": "/tmp/testing",
        },
        "METRICS": {"general": {"enable": False, "port": 8082, "path": "./sentientmap"}},
        "SNT_MCI": {"DCR": {"MCI_CTRL": {"ENABLE_RISCV": "0x0"}}},
    }


def test_unpreparing_leaves_nothing_and_may_be_repeated(node, tmp_path):
    ((_, (made,)),) = node.allocated(*pods("a", **ask(1)))
    node.prepare(made)
    (tmp_path / "state/container-metrics" / made.metadata.uid / "written").write_text("by a container")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (tmp_path / "state/container-metrics" / made.metadata.uid / "link").symlink_to(outside)
    node.engine.unprepare(made.metadata.uid)
    node.engine.unprepare(made.metadata.uid)
    left = sorted(path.name for path in (tmp_path / "state").rglob("*"))
    assert left == ["container-config", "container-metrics"]
    assert node.files() == []
    assert (outside / "kept").exists()


def test_a_card_and_its_virtual_functions_exclude_each_other(virtual, tmp_path):
    node = node_of(virtual, tmp_path)
    on_first = {"cel": {"expression": f"device.attributes['{CLASS}'].peerGroup0 == '0000:1a:00.0'"}}
    placed = node.allocated(
        *pods("cards", **ask(3, CARD, on_first)),
        *pods("functions", **ask(8, VIRTUAL, on_first)),
        *pods("more", **ask(1, VIRTUAL, on_first)),
        *pods("card", **ask(1, CARD, on_first)),
    )
    given = [devices(claims) for _, claims in placed]
    assert given[0] == ["0000-1a-00-0", "0000-1c-00-0", "0000-1d-00-0"]
    assert [name[:10] for name in given[1]] == ["0000-1e-00"] * 7 + ["0000-1e-01"]
    assert given[2:] == [[], []]


def test_the_kit_refuses_a_card_whose_virtual_function_is_in_use(virtual, tmp_path):
    node = node_of(virtual, tmp_path)
    at = {"cel": {"expression": f"device.attributes['{CLASS}'].pciAddress == '0000:1a:00.1'"}}
    card = {"cel": {"expression": f"device.attributes['{CLASS}'].pciAddress == '0000:1a:00.0'"}}
    ((_, (function,)),) = node.allocated(*pods("function", **ask(1, at)))
    ((_, (whole,)),) = node.allocated(*pods("card", **ask(1, card)))
    node.prepare(function)
    with pytest.raises(PrepareError, match="take more of counter virtual-functions"):
        node.prepare(whole)
    node.engine.unprepare(function.metadata.uid)
    assert node.prepare(whole)


def test_a_claim_that_does_not_care_leaves_cards_whole(virtual, tmp_path):
    node = node_of(virtual, tmp_path)
    ((_, (made,)),) = node.allocated(*pods("a", **ask(1)))
    assert devices([made]) == ["0000-1a-00-1"]
    node.prepare(made)
    config = config_of(tmp_path, made)
    assert config["GENERAL"]["doom"] is True
    assert "SNT_MCI" not in config


def test_devices_of_different_kinds_in_one_claim_are_refused_by_name(virtual, tmp_path):
    node = node_of(virtual, tmp_path)
    both = claim("both", {"name": "c", "exactly": ask(1, CARD)}, {"name": "f", "exactly": ask(1, VIRTUAL)})
    ((_, (made,)),) = node.allocated(both, pod("p", "both"))
    with pytest.raises(PrepareError, match=r"one productId, these have 06a7 and 06a8: 0000:1a:00.0 \(06a7\), 0000:1c"):
        node.prepare(made)
    assert node.files() == []
    assert not (tmp_path / "state").exists()


def test_cards_of_one_tier_are_preferred_and_the_next_is_taken_where_they_are_gone(node):
    tiers = {
        "name": "cards",
        "firstAvailable": [{"name": name, "deviceClassName": CLASS, "count": 3} for name in ("tier0", "tier1")],
    }
    near = [{"requests": [f"cards/tier{number}"], "matchAttribute": f"{CLASS}/peerGroup{number}"} for number in (0, 1)]
    wanted = [one for name in ("a", "b", "c") for one in (claim(name, tiers, constraints=near), pod(name, name))]
    placed = node.allocated(*wanted)
    given = [devices(claims) for _, claims in placed]
    assert given[0] == ["0000-1a-00-0", "0000-1c-00-0", "0000-1d-00-0"]
    assert given[1] == ["0000-3d-00-0", "0000-3f-00-0", "0000-40-00-0"]
    assert given[2] == []
    two = {**tiers, "firstAvailable": [{**one, "count": 2} for one in tiers["firstAvailable"]]}
    placed = node.allocated(*wanted[:4], claim("d", two, constraints=near), pod("d", "d"))
    assert devices(placed[2][1]) == ["0000-1e-00-0", "0000-41-00-0"]
    assert placed[2][1][0].status.allocation.devices.results[0].request == "cards/tier1"


def test_results_of_other_drivers_are_skipped(node, tmp_path):
    other = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": "other"},
        "spec": {
            "driver": "gpu.example.com",
            "nodeName": NODE,
            "pool": {"name": "gpus", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "gpu-0"}],
        },
    }
    both = claim(
        "both", {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}, {"name": "c", "exactly": ask(1)}
    )
    ((_, (made,)),) = node.allocated(other, both, pod("p", "both"))
    assert devices([made]) == ["gpu-0", "0000-1a-00-0"]
    (answer,) = node.prepare(made)
    assert answer.device == "0000-1a-00-0"


def templated(name: str | None, request: str = ""):
    override = {"senlibTemplateFile": name} if name is not None else {}
    parameters = {
        "apiVersion": "spyre.resource.ibm.com/v1alpha1",
        "kind": "SpyreClaimParameters",
        "config": {"override": override},
    }
    return {"opaque": {"driver": CLASS, "parameters": parameters}} | ({"requests": [request]} if request else {})


def with_config(*config, requests=("one",)):
    made = claim("a", *({"name": name, "exactly": ask(1)} for name in requests), config=list(config))
    return made, pod("a", "a")


def test_the_administrators_template_is_used_and_a_claim_chooses_another(node, tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/senlib_config.json").write_text('{"GENERAL": {"target": "USUAL"}, "MINE": 1}')
    (tmp_path / "templates/metrics.json").write_text('{"GENERAL": {}, "METRICS": {"general": {"enable": true}}}')
    ((_, (usual,)),) = node.allocated(*pods("usual", **ask(1)))
    node.prepare(usual)
    assert config_of(tmp_path, usual)["GENERAL"]["target"] == "USUAL"
    assert config_of(tmp_path, usual)["MINE"] == 1
    node.engine.unprepare(usual.metadata.uid)
    ((_, (chosen,)),) = node.allocated(*with_config(templated("metrics.json")))
    node.prepare(chosen)
    assert config_of(tmp_path, chosen)["METRICS"]["general"]["path"] == "/data/sentientmap_0000:1a:00.0"


def test_metrics_of_several_cards_go_to_one_place(node, tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/senlib_config.json").write_text('{"GENERAL": {}, "METRICS": {"general": {"enable": true}}}')
    ((_, (made,)),) = node.allocated(*pods("a", **ask(2)))
    node.prepare(made)
    config = config_of(tmp_path, made)
    assert config["METRICS"]["general"]["path"] == "/data/multi-aiu-sentientmap"
    assert config["GENERAL"]["multi_aiu_config_path"] == "/data/multi-aiu-config"


@pytest.mark.parametrize("name", ["../secret.json", "/etc/shadow", "a/b.json", "..", "."])
def test_a_claim_reaches_no_file_but_templates(node, tmp_path, name):
    (tmp_path / "templates").mkdir()
    (tmp_path / "secret.json").write_text('{"GENERAL": {"secret": 1}}')
    ((_, (made,)),) = node.allocated(*with_config(templated(name)))
    with pytest.raises(PrepareError, match="must be the name of a file in"):
        node.prepare(made)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "is not there"),
        ("{", "is no JSON"),
        ("[]", "must be an object that has GENERAL"),
        ("{}", "must be an object that has GENERAL"),
        ('{"GENERAL": 1}', "GENERAL: must be an object"),
        ('{"GENERAL": {}, "METRICS": []}', "METRICS: must be an object"),
        ('{"GENERAL": {}, "METRICS": {"general": 1}}', "METRICS: general: must be an object"),
        ('{"GENERAL": {}, "SNT_MCI": {"DCR": 1}}', "SNT_MCI: DCR: must be an object"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_place_and_reason(node, tmp_path, text, reason):
    (tmp_path / "templates").mkdir()
    if text is not None:
        (tmp_path / "templates/mine.json").write_text(text)
    ((_, (made,)),) = node.allocated(*with_config(templated("mine.json")))
    with pytest.raises(PrepareError, match=f"mine.json.*{reason}"):
        node.prepare(made)
    assert node.files() == []


def test_a_configuration_is_for_its_request_and_names_all_functions_of_the_claim(node, tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/mine.json").write_text('{"GENERAL": {"target": "MINE"}}')
    ((_, (made,)),) = node.allocated(*with_config(templated("mine.json", "x"), requests=("x", "y")))
    node.prepare(made)
    found = {request: config_of(tmp_path, made, request)["GENERAL"] for request in ("x", "y")}
    assert (found["x"]["target"], found["y"]["target"]) == ("MINE", "SOC")
    assert found["x"]["sen_bus_id"] == found["y"]["sen_bus_id"] == CARDS[:2]
    mounted = [edits["mounts"][0]["hostPath"].rsplit("/", 1)[-1] for edits in node.edits(made)]
    assert mounted == ["x", "y"]


def test_parameters_without_an_override_are_taken_and_unknown_ones_are_not(node):
    ((_, (made,)),) = node.allocated(*with_config(templated(None)))
    assert node.prepare(made)
    wrong = templated(None)
    wrong["opaque"]["parameters"]["config"]["speed"] = 3
    ((_, (made,)),) = node.allocated(*with_config(wrong))
    node.engine.unprepare(made.metadata.uid)
    with pytest.raises(PrepareError, match="unknown field `speed`"):
        node.prepare(made)


def test_a_machine_without_iommu_has_other_nodes_on_the_host(tree, tmp_path):
    tree.file("/sys/kernel/iommu_groups/40/name", "vfio-noiommu")
    tree.file("/dev/vfio/noiommu-40")
    node = node_of(tree, tmp_path)
    ((_, (made,)),) = node.allocated(*pods("a", **ask(1)))
    node.prepare(made)
    assert node.edits(made)[0]["deviceNodes"][1] == {
        "path": "/dev/vfio/40",
        "hostPath": "/dev/vfio/noiommu-40",
        "permissions": "rw",
    }


def break_driver(tree):
    tree.remove(f"{place(tree, CARDS[0])}/driver")


def break_group(tree):
    tree.remove(f"{place(tree, CARDS[0])}/iommu_group")


def break_node(tree):
    tree.remove("/dev/vfio/40")


def break_card(tree):
    lose(tree, CARDS[0])


def break_all(tree):
    path = place(tree, CARDS[0])
    tree.remove(f"/sys/bus/pci/devices/{CARDS[0]}")
    shutil.rmtree(tree.root / path.lstrip("/"))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (break_driver, "0000:1a:00.0: is bound to no driver, and must be to vfio-pci"),
        (break_group, "0000:1a:00.0: .*iommu_group: is not there: VFIO can give no function"),
        (break_node, "/dev/vfio/40: is not there: is the function bound to vfio-pci"),
        (break_card, "0000:1a:00.0: does not answer"),
        (break_all, "0000:1a:00.0: No such file or directory"),
    ],
)
def test_a_card_that_broke_after_it_was_allocated_is_not_prepared(node, tree, tmp_path, harm, reason):
    ((_, (made,)),) = node.allocated(*pods("a", **ask(1)))
    ((_, (other,)),) = node.allocated(
        *pods("b", **ask(1, {"cel": {"expression": f"device.attributes['{CLASS}'].pciAddress == '{CARDS[1]}'"}}))
    )
    harm(tree)
    with pytest.raises(PrepareError, match=reason):
        node.prepare(made)
    assert node.files() == []
    assert not list(Path(tmp_path / "state").rglob(made.metadata.uid))
    assert node.prepare(other)


def test_what_was_prepared_is_undone_when_the_card_has_gone(node, tree, tmp_path):
    ((_, (made,)),) = node.allocated(*pods("a", **ask(1)))
    node.prepare(made)
    break_all(tree)
    node.look()
    node.engine.unprepare(made.metadata.uid)
    assert node.files() == []
    assert not list(Path(tmp_path / "state").rglob(made.metadata.uid))


def test_what_a_crash_left_is_undone_at_the_next_start(tree, tmp_path):
    node = node_of(tree, tmp_path)
    ((_, (made,)),) = node.allocated(*pods("a", **ask(1)))
    node.prepare(made)
    with Store(tmp_path / "plugin", "boot-2").locked() as ledger:
        ledger.save(ledger.prepared)
    again = node_of(tree, tmp_path)
    assert again.engine.recover() == []
    assert again.files() == []
    assert not list(Path(tmp_path / "state").rglob(made.metadata.uid))


def test_claims_are_prepared_from_a_recording(tree, tmp_path):
    recording = Recording()
    driver_of(RecordingMachine(tree.machine, recording), tmp_path).discover()
    node = Node(driver_of(RecordedMachine(recording), tmp_path), tmp_path)
    ((_, (made,)),) = node.allocated(*pods("a", **ask(2)))
    assert len(node.prepare(made)) == 2


@pytest.mark.parametrize("place_", ["kind", "ocp"])
def test_ibms_own_claims_work_as_they_are(node, shared, place_):
    folder = shared / "manifests/spyre"
    everything = {}
    for number in (1, 2, 3):
        placed = node.allocated(folder / f"{place_}_spyre-test{number}.yaml")
        everything[number] = [devices(claims) for _, claims in placed]
        for _, claims in placed:
            for made in claims:
                assert node.prepare(made)
        for _, claims in placed:
            for made in claims:
                node.engine.unprepare(made.metadata.uid)
    address = {"kind": "0000-1a-00-0", "ocp": "0000-41-00-0"}[place_]
    assert everything[1] == [["0000-1a-00-0"], ["0000-1c-00-0"]]
    assert everything[2] == [[address], []]  # both ask for one card: IBM's example of a pod that waits
    assert everything[3] == [
        ["0000-1a-00-0", "0000-1c-00-0"],
        ["0000-3d-00-0", "0000-3f-00-0", "0000-40-00-0"],
        [],
    ]
    assert node.files() == []


def test_attributes_are_those_of_the_slices_that_ibms_driver_publishes(node, shared):
    objects, problems = read_paths([str(shared / "manifests/spyre/generated-resourceslices.yaml")])
    assert not problems
    theirs = {one.name: one for item in objects.slices for one in item.spec.devices}
    ours = {name: one for (_, name), one in node.engine.inventory.devices.items()}
    assert theirs.keys() == ours.keys()
    differing = {"driverVersion", "isPf", "pfPciAddress", "subClass", "vfId"}
    for name, device in theirs.items():
        assert device.attributes.keys() <= ours[name].attributes.keys()
        for attribute in device.attributes.keys() - differing:
            assert ours[name].attributes[attribute] == device.attributes[attribute], (name, attribute)


def test_a_class_for_each_kind_keeps_claims_of_one_kind(virtual, tmp_path):
    node = node_of(virtual, tmp_path)
    whole = device_class("card", CLASS, f"device.attributes['{CLASS}'].isPf")
    ((_, (made,)),) = node.allocated(whole, *pods("a", deviceClassName="card", count=2))
    assert devices([made]) == ["0000-1a-00-0", "0000-1c-00-0"]

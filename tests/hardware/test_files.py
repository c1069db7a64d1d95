"""Files of a machine below any root, and PCI functions among them."""

from __future__ import annotations

import errno
import os

import pytest

from fairlead.hardware import Problems, pci_function, pci_functions, standard_attributes
from tests.hardware.tree import Tree


@pytest.fixture
def tree(tmp_path):
    made = Tree(tmp_path)
    made.pci(
        "0000:3b:00.0",
        vendor=0x15B3,
        device=0x1021,
        class_code=0x020000,
        root="pci0000:3a",
        bridges=["0000:3a:01.0"],
        numa=1,
        driver="mlx5_core",
        iommu_group=7,
        total_virtual=16,
    )
    made.virtual("0000:3b:00.0", ["0000:3b:00.1", "0000:3b:00.2"], device=0x101E)
    made.pci("0000:00:1f.0", vendor=0x8086, device=0x1234, class_code=0x060100, numa=-1)
    return made


def test_a_pci_function_is_read_whole(tree):
    found = pci_function(tree.machine.files, "0000:3b:00.0")
    assert (found.vendor, found.device, found.class_code) == (0x15B3, 0x1021, 0x020000)
    assert (found.root, found.bridges, found.numa) == ("pci0000:3a", ("0000:3a:01.0",), 1)
    assert (found.driver, found.iommu_group) == ("mlx5_core", "7")
    assert (found.virtual, found.total_virtual) == (("0000:3b:00.1", "0000:3b:00.2"), 16)


def test_a_virtual_function_knows_its_physical_one(tree):
    found = pci_function(tree.machine.files, "0000:3b:00.2")
    assert (found.physical, found.virtual, found.root) == ("0000:3b:00.0", (), "pci0000:3a")


def test_standard_attributes_say_only_what_is_known(tree):
    known = {name: one.string or one.int_ for name, one in _attributes(tree, "0000:3b:00.0").items()}
    assert known == {
        "resource.kubernetes.io/pciBusID": "0000:3b:00.0",
        "resource.kubernetes.io/pcieRoot": "pci0000:3a",
        "resource.kubernetes.io/numaNode": 1,
    }
    assert "resource.kubernetes.io/numaNode" not in _attributes(tree, "0000:00:1f.0")


def _attributes(tree, address):
    return standard_attributes(pci_function(tree.machine.files, address))


def test_functions_are_chosen_by_vendor_in_the_order_of_addresses(tree):
    problems = Problems()
    found = [one.address for one in pci_functions(tree.machine.files, problems, vendor=0x15B3)]
    assert found == ["0000:3b:00.0", "0000:3b:00.1", "0000:3b:00.2"]
    assert not problems


def test_one_function_that_cannot_be_read_is_named_and_the_others_are_found(tree):
    tree.file("/sys/devices/pci0000:3a/0000:3a:01.0/0000:3b:00.1/class", "what")
    tree.remove("/sys/devices/pci0000:3a/0000:3a:01.0/0000:3b:00.2/vendor")
    problems = Problems()
    found = [one.address for one in pci_functions(tree.machine.files, problems)]
    assert found == ["0000:00:1f.0", "0000:3b:00.0"]
    assert len(problems) == 2
    assert problems[0] == (
        "0000:3b:00.1: /sys/devices/pci0000:3a/0000:3a:01.0/0000:3b:00.1/class: holds no number: 'what'"
    )
    assert problems[1].startswith("0000:3b:00.2: ")
    assert problems[1].endswith("/vendor: No such file or directory")


def test_a_machine_without_pci_has_no_functions(tmp_path):
    assert list(pci_functions(Tree(tmp_path).machine.files, Problems())) == []


def test_links_are_followed_inside_of_the_tree(tmp_path):
    tree = Tree(tmp_path)
    tree.file("/etc/real", "inside")
    tree.link("/a/absolute", "/etc")
    tree.link("/a/relative", "../etc/real")
    tree.link("/a/above", "../../../../../../etc/real")
    files = tree.machine.files
    assert files.text("/a/absolute/real") == "inside"
    assert files.text("/a/relative") == "inside"
    assert files.text("/a/above") == "inside"
    assert files.real("/a/absolute/./real") == "/etc/real"


def test_links_that_lead_nowhere_are_not_there_and_circles_are_told(tmp_path):
    tree = Tree(tmp_path)
    tree.link("/nowhere", "/gone")
    tree.link("/circle", "circle")
    files = tree.machine.files
    assert not files.exists("/nowhere")
    with pytest.raises(OSError, match="/circle") as caught:
        files.real("/circle")
    assert caught.value.errno == errno.ELOOP


def test_errors_have_the_path_on_the_machine(tmp_path):
    files = Tree(tmp_path).machine.files
    with pytest.raises(FileNotFoundError) as caught:
        files.text("/sys/gone")
    assert caught.value.filename == "/sys/gone"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path):
    tree = Tree(tmp_path)
    tree.file("/secret", "x")
    (tmp_path / "secret").chmod(0)
    problems = Problems()
    with problems.of("card"):
        tree.machine.files.text("/secret")
    assert problems == ["card: /secret: Permission denied"]


def test_writing_needs_a_file_that_is_there(tmp_path):
    tree = Tree(tmp_path)
    tree.file("/sys/sriov_numvfs", 0)
    tree.machine.files.put("/sys/sriov_numvfs", "4")
    assert tree.machine.files.number("/sys/sriov_numvfs") == 4
    with pytest.raises(FileNotFoundError):
        tree.machine.files.put("/sys/other", "4")

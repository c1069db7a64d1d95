"""`fairlead node discover` and `fairlead node record`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from fairlead.cli import main
from fairlead.driver import Driver, Pool
from fairlead.hardware import HardwareError, pci_functions
from fairlead.hardware.problems import Problems
from fairlead.resource import Device
from tests.hardware.tree import Tree


class _Cards(Driver):
    name = "cards.example.com"

    def __init__(self, machine):
        self._machine = machine

    def discover(self):
        problems = Problems()
        found = list(pci_functions(self._machine.files, problems))
        return Pool([Device(name=one.address.replace(":", "-").replace(".", "-")) for one in found], problems=problems)

    def prepare(self, claim):
        return []

    def unprepare(self, claim):
        pass


def make(argument, node, machine):
    return [_Cards(machine)]


CARDS = f"{__name__}:make"


@pytest.fixture
def machine(tmp_path):
    tree = Tree(tmp_path / "machine")
    tree.pci("0000:3b:00.0", vendor=0x15B3, device=0x1021, class_code=0x020000)
    tree.pci("0000:5e:00.0", vendor=0x15B3, device=0x1021, class_code=0x020000)
    return tree


def run(*arguments):
    return CliRunner().invoke(main, ["node", *map(str, arguments)])


def test_discover_prints_the_slices(machine):
    result = run("discover", "--driver", CARDS, "--root", machine.root, "--node-name", "worker-1", "-o", "json")
    assert result.exit_code == 0, result.output
    [item] = json.loads(result.output)["items"]
    assert item["spec"]["nodeName"] == "worker-1"
    assert [one["name"] for one in item["spec"]["devices"]] == ["0000-3b-00-0", "0000-5e-00-0"]
    assert "ownerReferences" not in item["metadata"]


def test_a_recording_gives_the_same_slices_on_any_machine(machine, tmp_path):
    file = tmp_path / "worker-1.yaml"
    result = run("record", file, "--driver", CARDS, "--root", machine.root)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"{file}: 2 devices; ")
    live = run("discover", "--driver", CARDS, "--root", machine.root, "--node-name", "n")
    replayed = run("discover", "--driver", CARDS, "--recording", file, "--node-name", "n")
    assert replayed.output == live.output


def test_a_recording_says_who_looked_on_which_node(machine, tmp_path):
    file = tmp_path / "a.yaml"
    assert run("record", file, "--driver", CARDS, "--root", machine.root, "--node-name", "worker-7").exit_code == 0
    result = run("discover", "--recording", file, "-o", "json")
    [item] = json.loads(result.stdout)["items"]
    assert (item["spec"]["driver"], item["spec"]["nodeName"]) == ("cards.example.com", "worker-7")
    other = run("discover", "--recording", file, "--node-name", "n", "-o", "json")
    assert json.loads(other.stdout)["items"][0]["spec"]["nodeName"] == "n"


def test_a_root_that_is_not_there_is_refused(tmp_path):
    result = run("discover", "--driver", CARDS, "--root", tmp_path / "none")
    assert result.exit_code == 2
    assert "does not exist" in result.output


@pytest.mark.parametrize("text", ["a: b", "apiVersion: v1\nkind: Pod\n", "", "- 1", "a: ["])
def test_another_file_is_no_recording(tmp_path, text):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    result = run("discover", "--driver", CARDS, "--recording", file)
    assert result.exit_code == 2
    assert f"{file}: is no recording" in result.output


def test_what_cannot_be_read_is_told_and_recorded(machine, tmp_path):
    machine.file("/sys/devices/pci0000:00/0000:5e:00.0/class", "rubbish")
    file = tmp_path / "worker-1.json"
    for arguments in (
        ["discover", "--root", machine.root],
        ["record", file, "--root", machine.root],
        ["discover", "--recording", file],
    ):
        result = run(*arguments, "--driver", CARDS)
        assert "Warning: cards.example.com: 0000:5e:00.0: " in result.stderr
        assert "class: holds no number: 'rubbish'" in result.stderr
        assert result.exit_code == (0 if arguments[0] == "record" else 1)


def test_a_file_that_is_no_recording_is_refused(tmp_path):
    file = tmp_path / "worker-1.yaml"
    file.write_text("apiVersion: v1\nfiles: 3\n")
    result = run("discover", "--driver", CARDS, "--recording", file)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {file}: is no recording: ")


def test_a_driver_that_is_not_known_is_refused(tmp_path):
    result = run("discover", "--driver", "nonsense")
    assert result.exit_code == 2
    assert "nonsense: is none of " in result.stderr


def test_running_drivers_needs_one():
    result = run()
    assert result.exit_code == 2
    assert "Missing option '--driver'" in result.output


class _Silent(_Cards):
    def discover(self):
        raise HardwareError("the library does not answer")


def make_silent(argument, node, machine):
    return [_Silent(machine)]


def test_a_driver_that_finds_nothing_out_is_told_in_a_line_and_the_others_are_shown(machine):
    silent = f"{__name__}:make_silent"
    result = run("discover", "--driver", silent, "--driver", CARDS, "--root", machine.root)
    assert result.exit_code == 1
    assert result.stderr == "Warning: cards.example.com: the library does not answer\n"
    assert "0000-3b-00-0" in result.stdout

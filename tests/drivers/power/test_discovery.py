"""What is published of NX: of partitions, of PowerNV, and of machines that answer badly."""

from __future__ import annotations

import shutil
import threading

import pytest

from fairlead.drivers.power import PowerDriver, make
from fairlead.hardware import RecordedMachine, Recording, RecordingMachine
from fairlead.resource import Quantity
from tests.drivers.ibm import devices, replayed, slices
from tests.drivers.power.machines import CREDITS, LIMITS, NODE, NX_842, NX_CRYPTO, SOFTWARE, credit, crypto
from tests.drivers.power.machines import partition as make_partition
from tests.drivers.power.machines import powernv as make_powernv
from tests.hardware.tree import Tree

NUMA = "resource.kubernetes.io/numaNode"


@pytest.fixture
def partition(tmp_path):
    return make_partition(tmp_path / "root")


@pytest.fixture
def powernv(tmp_path):
    return make_powernv(tmp_path / "root")


def found(tree, **options):
    pool = PowerDriver(tree.machine, **options).discover()
    return devices(pool), list(pool.problems)


def broken(tree, **errors):
    """The machine, with errors at some paths: by errno."""
    recording = Recording()
    PowerDriver(RecordingMachine(tree.machine, recording)).discover()
    for path, error in errors.items():
        recording.files[path].error = error
    return RecordedMachine(recording)


def test_a_partition_has_a_device_for_each_class_of_credits(partition):
    seen, problems = found(partition)
    assert problems == []
    common = {
        "type": "nx-gzip",
        "platform": "pSeries",
        "processor": "POWER10",
        "numaNodes": "0-1",
        "chips": "0-1",
        "minCompressLength": 0,
        "minDecompressLength": 0,
        "maxRequestLength": 1048576,
        "nx842": True,
        "nxCrypto": False,
    }
    assert seen == {
        "cryptonxgzip": {"index": 0, "creditClass": "default", "credits": "320"} | common,
        "cryptonxgzip-qos": {"index": 1, "creditClass": "qos", "credits": "32"} | common,
    }


def test_shares_take_one_credit_unless_they_say_otherwise(partition):
    device = PowerDriver(partition.machine).discover().devices[0]
    assert device.allow_multiple_allocations
    policy = device.capacity["credits"].request_policy
    one = Quantity.from_int(1)
    assert policy.default == one
    assert (policy.valid_range.min, policy.valid_range.max, policy.valid_range.step) == (
        one,
        Quantity.from_int(320),
        one,
    )


def test_a_partition_that_does_not_know_its_chips_says_none(tmp_path):
    seen, problems = found(make_partition(tmp_path, chips=False))
    assert problems == []
    assert "chips" not in seen["cryptonxgzip"]
    assert seen["cryptonxgzip"]["numaNodes"] == "0-1"


def test_a_partition_on_one_numa_node_has_the_standard_attribute(partition):
    partition.file("/sys/devices/system/node/online", "0-1")
    partition.file("/sys/devices/system/node/node1/cpulist", "")
    partition.file("/sys/devices/system/node/node0/cpulist", "0-127")
    seen, problems = found(partition)
    assert problems == []
    assert (seen["cryptonxgzip"][NUMA], seen["cryptonxgzip"]["numaNodes"]) == (0, "0")


def test_powernv_has_a_device_for_each_chip(powernv):
    seen, problems = found(powernv)
    assert problems == []
    assert list(seen) == ["cryptonxgzip-chip0", "cryptonxgzip-chip8"]
    assert seen["cryptonxgzip-chip8"] == {
        "index": 1,
        "creditClass": "default",
        "type": "nx-gzip",
        "platform": "PowerNV",
        "processor": "POWER9",
        "chip": 8,
        "vasID": 1,
        NUMA: 8,
        "nx842": True,
        "nxCrypto": False,
        "credits": "65536",
    }


def test_a_chip_without_a_gzip_engine_is_left_out(powernv):
    for fifo in ("high", "normal"):
        powernv.remove(f"/sys/firmware/devicetree/base/xscom@603fc00000008/nx@2010000/ibm,gzip-{fifo}-fifo/lpid")
        (powernv.root / f"sys/firmware/devicetree/base/xscom@603fc00000008/nx@2010000/ibm,gzip-{fifo}-fifo").rmdir()
    seen, problems = found(powernv)
    assert (list(seen), problems) == (["cryptonxgzip-chip0"], [])


def test_a_machine_without_nx_has_nothing_and_says_nothing(tmp_path):
    assert found(make_partition(tmp_path, default=-1)) == ({}, [])


def test_an_empty_machine_has_nothing(tmp_path):
    assert found(Tree(tmp_path)) == ({}, [])


@pytest.mark.parametrize("machine", [make_partition, make_powernv])
def test_slices_are_valid_and_the_same_from_a_recording(tmp_path, machine):
    tree = machine(tmp_path / "root")
    live = PowerDriver(tree.machine)
    assert slices(live)[0].spec.devices
    again = replayed(tree.machine, PowerDriver, tmp_path)
    assert slices(again) == slices(live)


def test_the_kernels_crypto_on_nx_is_told(partition):
    crypto(partition, SOFTWARE + NX_842 + NX_CRYPTO)
    seen, _ = found(partition)
    assert seen["cryptonxgzip"]["nxCrypto"] is True
    text = seen["cryptonxgzip"]["nxCryptoAlgorithms"]
    assert len(text) <= 64
    assert text.split(",")[:3] == ["cbc(aes)", "ctr(aes)", "ecb(aes)"]
    assert set(text.split(",")) <= {name for name, _ in NX_CRYPTO}


def test_credits_change_with_the_partition(partition):
    credit(partition, "default", 160, 3)
    credit(partition, "qos", 0, 0)
    seen, problems = found(partition)
    assert problems == []
    assert {name: one["credits"] for name, one in seen.items()} == {"cryptonxgzip": "160"}


def test_a_change_of_the_totals_is_told_and_of_what_is_used_is_not(partition):
    driver = PowerDriver(partition.machine)
    driver.poll = 0.01
    changed, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=driver.watch, args=(changed.set, stop))
    thread.start()
    try:
        assert changed.wait(10), "what came before the first look is not asked for"
        changed.clear()
        partition.file(f"{CREDITS}/default_capabilities/nr_used_credits", 200)
        assert not changed.wait(0.2)
        credit(partition, "default", 340, 200)
        assert changed.wait(10)
        changed.clear()
        partition.remove(NODE)
        assert changed.wait(10)
    finally:
        stop.set()
        thread.join()


def test_the_device_node_goes_and_comes_back(partition):
    partition.remove(NODE)
    seen, problems = found(partition)
    assert seen == {}
    assert problems == [
        "nx-gzip: /dev/crypto/nx-gzip: is not there, although the machine has NX: its kernel module failed"
    ]
    partition.file(NODE)
    assert list(found(partition)[0]) == ["cryptonxgzip", "cryptonxgzip-qos"]


def test_no_default_credits_are_told_and_no_qos_credits_are_not(partition):
    credit(partition, "default", 0, 0)
    credit(partition, "qos", 0, 0)
    assert found(partition) == ({}, ["cryptonxgzip: has no credits for claims"])


def test_credits_may_be_kept_for_others(partition, powernv):
    seen, _ = found(partition, reserve=20)
    assert (seen["cryptonxgzip"]["credits"], seen["cryptonxgzip-qos"]["credits"]) == ("300", "32")


def test_an_administrator_says_how_many_credits_where_the_kernel_counts_none(powernv):
    assert found(powernv, assumed=100, reserve=20)[0]["cryptonxgzip-chip0"]["credits"] == "80"


def test_a_kernel_that_counts_no_credits_gives_shares_without_a_number(partition):
    shutil.rmtree(partition.root / CREDITS.lstrip("/"))
    seen, problems = found(partition)
    assert problems == [f"credits: {CREDITS}: is not there: this kernel does not count them"]
    assert list(seen) == ["cryptonxgzip"]
    assert "credits" not in seen["cryptonxgzip"]
    assert found(partition, assumed=100)[0]["cryptonxgzip"]["credits"] == "100"


@pytest.mark.parametrize("rubbish", ["", "many", "-5", "0x10", "\xff\xfe"])
def test_rubbish_in_one_class_leaves_the_other(partition, rubbish):
    credit(partition, "default", rubbish, 0)
    seen, problems = found(partition)
    assert list(seen) == ["cryptonxgzip-qos"]
    assert len(problems) == 1
    assert problems[0].startswith(f"default credits: {CREDITS}/default_capabilities/nr_total_credits: holds ")


@pytest.mark.parametrize("error", ["EACCES", "EIO"])
def test_what_may_not_be_read_is_named_and_the_rest_is_found(partition, error):
    machine = broken(
        partition,
        **{
            f"{CREDITS}/qos_capabilities/nr_total_credits": error,
            f"{LIMITS}/min_compress_len": error,
            "/proc/crypto": error,
            "/proc/cpuinfo": error,
            "/sys/devices/system/node/online": error,
            "/sys/devices/system/cpu/online": error,
        },
    )
    pool = PowerDriver(machine).discover()
    reason = {"EACCES": "Permission denied", "EIO": "Input/output error"}[error]
    assert sorted(pool.problems) == sorted(
        [
            f"qos credits: {CREDITS}/qos_capabilities/nr_total_credits: {reason}",
            f"nx-gzip limits: {LIMITS}/min_compress_len: {reason}",
            f"kernel crypto: /proc/crypto: {reason}",
            f"processor model: /proc/cpuinfo: {reason}",
            f"NUMA nodes: /sys/devices/system/node/online: {reason}",
            f"chips: /sys/devices/system/cpu/online: {reason}",
        ]
    )
    assert devices(pool) == {
        "cryptonxgzip": {
            "index": 0,
            "creditClass": "default",
            "type": "nx-gzip",
            "platform": "pSeries",
            "minDecompressLength": 0,
            "maxRequestLength": 1048576,
            "credits": "320",
        }
    }


def test_a_bad_answer_of_one_chip_leaves_the_other(powernv):
    powernv.file("/sys/firmware/devicetree/base/vas@601918" + "0000000/ibm,vas-id", b"\x00\x01")
    seen, problems = found(powernv)
    assert list(seen) == ["cryptonxgzip-chip0"]
    assert problems == [
        "vas@6019180000000: /proc/device-tree/vas@6019180000000/ibm,vas-id: has 2 bytes instead of 4",
        "xscom@603fc00000008: /proc/device-tree/xscom@603fc00000008: "
        "chip 8 has a gzip engine, and no VAS that leads to it",
    ]


@pytest.mark.parametrize("argument", ["reserve", "reserve=some", "credits=-1", "size=3", "reserve=1,more=2"])
def test_a_wrong_argument_is_refused(partition, argument):
    with pytest.raises(ValueError, match=r"must be \[reserve=NUMBER\]"):
        make(argument, "n", partition.machine)


def test_the_argument_reaches_the_driver(partition):
    (driver,) = make("reserve=20", "n", partition.machine)
    assert devices(driver.discover())["cryptonxgzip"]["credits"] == "300"

"""Partitionable devices (counters) and consumable capacity (shares)."""

import pytest

from builders import DRIVER, ROOT, claim, counters, decide, device, held, match, picks, request, slice_


def mig(gpus: int = 1) -> list[dict[str, object]]:
    """GPUs of 4 slots each, as one whole, two halves or four quarters."""
    sets = counters(**{f"gpu-{g}": {"slots": "4"} for g in range(gpus)})
    parts = [
        device(f"{name}-{g}-{i}", {"size": size, "gpu": g}, uses={f"gpu-{g}": {"slots": str(size)}})
        for g in range(gpus)
        for name, size, number in (("whole", 4, 1), ("half", 2, 2), ("quarter", 1, 4))
        for i in range(number)
    ]
    return [
        slice_([], name="counters", count=2, sharedCounters=sets),
        slice_(parts, name="devices", count=2),
    ]


def part(name: str, size: int, count: int = 1) -> dict[str, object]:
    """A request for partitions of a size."""
    return request(name, count, f'device.attributes["gpu.example.com"].size == {size}')


def test_partitions_share_the_counters_of_their_gpu() -> None:
    assert picks(decide(mig(), claim(part("h", 2, 2)))) == ["h=half-0-0", "h=half-0-1"]
    assert picks(decide(mig(), claim(part("h", 2, 1), part("q", 1, 2)))) == [
        "h=half-0-0",
        "q=quarter-0-0",
        "q=quarter-0-1",
    ]
    assert picks(decide(mig(), claim(part("h", 2, 1), part("q", 1, 3)))) is None


def test_what_is_held_counts() -> None:
    assert picks(decide(mig(), claim(part("w", 4)), allocatedDevices=held("quarter-0-3"))) is None
    assert picks(decide(mig(2), claim(part("w", 4)), allocatedDevices=held("quarter-0-3"))) == ["w=whole-1-0"]


def test_room_on_another_gpu_is_found() -> None:
    tied = claim(part("q", 1, 3), constraints=[match("gpu.example.com/gpu")])
    found = picks(decide(mig(2), tied, allocatedDevices=held("half-0-0")))
    assert found == ["q=quarter-1-0", "q=quarter-1-1", "q=quarter-1-2"]


def test_one_partition_too_many_is_proved_from_the_counters() -> None:
    outcome = decide(mig(6), claim(part("h", 2, 12), part("q", 1, 1)))
    assert picks(outcome) is None
    assert outcome.reasons[0]["kind"] in ("counter", "together")


def test_counters_of_two_drivers_with_equal_pool_names_are_apart() -> None:
    def pool(driver: str) -> list[dict[str, object]]:
        return [
            slice_([], name=f"{driver}-c", driver=driver, count=2, sharedCounters=counters(s={"m": "1"})),
            slice_([device("d", uses={"s": {"m": "1"}})], name=f"{driver}-d", driver=driver, count=2),
        ]

    both = claim(request("a", 2, device_class="any"))
    assert picks(decide(pool("a.example.com") + pool("b.example.com"), both)) == ["a=d", "a=d"]


def test_a_counter_that_is_not_there_makes_the_pool_invalid() -> None:
    broken = [slice_([device("d", uses={"nowhere": {"m": "1"}})])]
    assert decide(broken, claim(request("r"))).error == "invalid resource pools were encountered"


def test_without_the_feature_partitions_are_not_offered() -> None:
    assert picks(decide(mig(), claim(request("r")), features=[])) is None


def nic(**fields: object) -> list[dict[str, object]]:
    """Two NICs of 100G that can be shared."""
    return [
        slice_(
            [
                device(
                    f"nic-{i}",
                    {ROOT: f"pci{i}"},
                    capacity={"bw": {"value": "100G"} | fields},
                    allowMultipleAllocations=True,
                )
                for i in range(2)
            ],
            driver="nic.example.com",
        )
    ]


def share(name: str, amount: str, count: int = 1) -> dict[str, object]:
    """A share of bandwidth."""
    return request(name, count, device_class="nic", capacity={"bw": amount})


def test_shares_fill_a_device_before_the_next() -> None:
    shares = claim(*(share(f"s{i}", "40G") for i in range(4)))
    outcome = decide(nic(), shares)
    assert picks(outcome) == ["s0=nic-0", "s1=nic-0", "s2=nic-1", "s3=nic-1"]
    assert outcome.allocations is not None
    results = outcome.allocations[0]["devices"]["results"]
    assert [result["consumedCapacity"] for result in results] == [{"bw": "40G"}] * 4
    assert len({result["shareID"] for result in results}) == 4


def test_one_share_too_many() -> None:
    outcome = decide(nic(), claim(*(share(f"s{i}", "40G") for i in range(5))))
    assert picks(outcome) is None
    assert outcome.reasons[0]["kind"] == "capacity"


def test_sizes_are_packed_exactly() -> None:
    sizes = ["60G", "60G", "40G", "40G"]
    assert picks(decide(nic(), claim(*(share(f"s{i}", size) for i, size in enumerate(sizes))))) == [
        "s0=nic-0",
        "s1=nic-1",
        "s2=nic-0",
        "s3=nic-1",
    ]


def test_two_shares_of_one_request_need_two_devices() -> None:
    assert picks(decide(nic(), claim(share("s", "10G", 2)))) == ["s=nic-0", "s=nic-1"]
    assert picks(decide(nic(), claim(share("s", "10G", 3)))) is None


def test_no_amount_asked_takes_everything_or_the_default() -> None:
    whole = decide(nic(), claim(request("r", device_class="nic")))
    assert whole.allocations is not None
    assert whole.allocations[0]["devices"]["results"][0]["consumedCapacity"] == {"bw": "100G"}
    policy = {"default": "10G", "validRange": {"min": "10G", "step": "5G"}}
    default = decide(nic(requestPolicy=policy), claim(request("r", device_class="nic")))
    assert default.allocations is not None
    assert default.allocations[0]["devices"]["results"][0]["consumedCapacity"] == {"bw": "10G"}


@pytest.mark.parametrize(
    ("policy", "asked", "taken"),
    [
        ({"validRange": {"min": "10G", "max": "50G", "step": "10G"}}, "1G", "10G"),
        ({"validRange": {"min": "10G", "max": "50G", "step": "10G"}}, "11G", "20G"),
        ({"validRange": {"min": "10G", "max": "50G", "step": "10G"}}, "51G", None),
        ({"validRange": {"min": "10G", "max": "50G"}}, "12500M", "12500M"),
        ({"validValues": ["10G", "25G", "50G"]}, "11G", "25G"),
        ({"validValues": ["10G", "25G", "50G"]}, "60G", None),
    ],
)
def test_policies_round_up_or_refuse(policy: dict[str, object], asked: str, taken: str | None) -> None:
    outcome = decide(nic(requestPolicy={"default": "10G", **policy}), claim(share("s", asked)))
    if taken is None:
        assert picks(outcome) is None
    else:
        assert outcome.allocations is not None
        assert outcome.allocations[0]["devices"]["results"][0]["consumedCapacity"] == {"bw": taken}


def test_shares_that_are_held_count() -> None:
    consumed = [{"driver": "nic.example.com", "pool": "node-1", "device": "nic-0", "consumed": {"bw": "70G"}}]
    assert picks(decide(nic(), claim(share("s", "40G")), allocatedCapacity=consumed)) == ["s=nic-1"]
    assert picks(decide(nic(), claim(share("s", "30G")), allocatedCapacity=consumed)) == ["s=nic-0"]


def test_a_device_held_for_itself_is_not_shared() -> None:
    taken = held("nic-0", driver="nic.example.com")
    assert picks(decide(nic(), claim(share("s", "1G")), allocatedDevices=taken)) == ["s=nic-1"]


def test_a_device_that_is_no_longer_shared_waits_until_its_shares_are_released() -> None:
    was_shared = slice_([device("gpu-0", capacity={"memory": "40Gi"}), device("gpu-1")])
    place = {"driver": DRIVER, "pool": "node-1", "device": "gpu-0"}
    shares = {
        "allocatedSharedDeviceIDs": [{**place, "shareID": "share-0"}],
        "allocatedCapacity": [{**place, "consumed": {"memory": "1Gi"}}],
    }
    assert picks(decide([was_shared], claim(request("r")), **shares)) == ["r=gpu-1"]
    assert picks(decide([was_shared], claim(request("r", 2)), **shares)) is None
    assert picks(decide([was_shared], claim(request("r", "All")), **shares)) is None
    watching = claim(request("r", "All", adminAccess=True))
    assert picks(decide([was_shared], watching, **shares)) == ["r=gpu-0", "r=gpu-1"]

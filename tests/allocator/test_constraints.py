"""matchAttribute and distinctAttribute: which devices may go together."""

import pytest

from builders import (
    EVERYTHING,
    ROOT,
    claim,
    decide,
    device,
    distinct,
    either,
    held,
    match,
    picks,
    request,
    slice_,
)

NIC = "nic.example.com"


def node(roots: str = "0011", nics: str = "0011") -> list[dict[str, object]]:
    """GPUs and NICs on the PCIe roots that the digits name."""
    return [
        slice_([device(f"gpu-{i}", {ROOT: f"pci{root}"}) for i, root in enumerate(roots)]),
        slice_([device(f"nic-{i}", {ROOT: f"pci{root}"}) for i, root in enumerate(nics)], driver=NIC),
    ]


def pair(gpus: int = 1, nics: int = 1) -> dict[str, object]:
    """GPUs and NICs on one root."""
    return claim(request("g", gpus), request("n", nics, device_class="nic"), constraints=[match(ROOT)])


def test_the_first_root_that_has_everything() -> None:
    assert picks(decide(node(), pair(2, 2))) == ["g=gpu-0", "g=gpu-1", "n=nic-0", "n=nic-1"]
    taken = held("nic-0", driver=NIC)
    assert picks(decide(node(), pair(2, 2), allocatedDevices=taken)) == ["g=gpu-2", "g=gpu-3", "n=nic-2", "n=nic-3"]


def test_no_root_has_everything() -> None:
    outcome = decide(node(), pair(2, 2), allocatedDevices=held("nic-0", "nic-3", driver=NIC))
    assert picks(outcome) is None
    assert outcome.reasons[0]["kind"] == "constraint"
    assert ROOT in outcome.reasons[0]["text"]


def test_a_device_without_the_attribute_is_never_chosen() -> None:
    slices = [slice_([device("bare"), device("rooted", {ROOT: "pci0"})])]
    assert picks(decide(slices, claim(request("r"), constraints=[match(ROOT)]))) == ["r=rooted"]
    assert picks(decide(slices, claim(request("r", 2), constraints=[match(ROOT)]))) is None


def test_a_constraint_covers_only_the_requests_it_names() -> None:
    free = claim(request("g"), request("n", device_class="nic"), request("x"), constraints=[match(ROOT, "g", "n")])
    assert picks(decide(node("01", "1"), free)) == ["g=gpu-1", "n=nic-0", "x=gpu-0"]


def test_a_constraint_can_name_one_alternative() -> None:
    wanted = either("g", request("two", 2), request("one", 1))
    tied = claim(wanted, constraints=[match(ROOT, "g/two")])
    assert picks(decide(node("01"), tied)) == ["g/one=gpu-0"]
    assert picks(decide(node("011"), tied)) == ["g/two=gpu-1", "g/two=gpu-2"]


def test_pairs_each_on_a_root_of_their_own() -> None:
    pairs = claim(
        *(request(f"g{i}") for i in range(3)),
        *(request(f"n{i}", device_class="nic") for i in range(3)),
        constraints=[match(ROOT, f"g{i}", f"n{i}") for i in range(3)],
    )
    taken = held("nic-0", "nic-2", driver=NIC)
    found = picks(decide(node("012345", "012345"), pairs, allocatedDevices=taken))
    assert found == ["g0=gpu-1", "g1=gpu-3", "g2=gpu-4", "n0=nic-1", "n1=nic-3", "n2=nic-4"]
    taken = held("nic-0", "nic-2", "nic-4", "nic-5", driver=NIC)
    assert picks(decide(node("012345", "012345"), pairs, allocatedDevices=taken)) is None


def test_a_name_in_the_drivers_domain_may_leave_it_out() -> None:
    slices = [slice_([device("a", {"numa": 0}), device("b", {"numa": 1}), device("c", {"gpu.example.com/numa": 1})])]
    tied = claim(request("r", 2), constraints=[match("gpu.example.com/numa")])
    assert picks(decide(slices, tied)) == ["r=b", "r=c"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("1", 1, id="string and int"),
        pytest.param(True, 1, id="bool and int"),
        pytest.param("a", "b", id="text"),
    ],
)
def test_different_values_or_types_never_match(first: object, second: object) -> None:
    slices = [slice_([device("a", {"x": first}), device("b", {"x": second})])]
    assert picks(decide(slices, claim(request("r", 2), constraints=[match("gpu.example.com/x")]))) is None


class TestDistinct:
    def test_each_device_has_a_value_of_its_own(self) -> None:
        spread = claim(request("r", 2), constraints=[distinct(ROOT)])
        assert picks(decide(node("0011"), spread)) == ["r=gpu-0", "r=gpu-2"]

    def test_also_the_third_against_the_first(self) -> None:
        assert picks(decide(node("010"), claim(request("r", 3), constraints=[distinct(ROOT)]))) is None

    def test_too_few_values_is_the_reason(self) -> None:
        outcome = decide(node("0011"), claim(request("r", 3), constraints=[distinct(ROOT)]))
        assert "3 different values" in outcome.reasons[0]["text"]

    def test_over_several_requests(self) -> None:
        spread = claim(request("a"), request("b"), constraints=[distinct(ROOT, "a", "b")])
        assert picks(decide(node("001"), spread)) == ["a=gpu-0", "b=gpu-2"]


class TestLists:
    """List attributes (KEP-5491): a match is a common element, distinct is pairwise disjoint."""

    slices = (
        slice_(
            [
                device("both", {"rail": ["a", "b"]}),
                device("b", {"rail": ["b"]}),
                device("a1", {"rail": ["a"]}),
                device("a2", {"rail": "a"}),
            ]
        ),
    )

    def test_one_element_is_common_to_all(self) -> None:
        tied = claim(request("r", 3), constraints=[match("gpu.example.com/rail")])
        assert picks(decide(self.slices, tied)) == ["r=both", "r=a1", "r=a2"]

    def test_disjoint(self) -> None:
        spread = claim(request("r", 2), constraints=[distinct("gpu.example.com/rail")])
        assert picks(decide(self.slices, spread)) == ["r=b", "r=a1"]

    def test_without_the_feature_a_list_matches_nothing_but_stands_alone(self) -> None:
        gates = [name for name in EVERYTHING if name != "ListTypeAttributes"]
        tied = claim(request("r", 2, device_class="any"), constraints=[match("gpu.example.com/rail")])
        lists = [slice_([device("x", {"rail": ["a"]}), device("y", {"rail": ["a"]})])]
        assert picks(decide(lists, tied, features=gates)) is None
        alone = claim(request("r", device_class="any"), constraints=[match("gpu.example.com/rail")])
        assert picks(decide(lists, alone, features=gates)) == ["r=x"]


def test_all_that_a_constraint_forbids_is_an_error() -> None:
    outcome = decide(node("01"), claim(request("r", "All"), constraints=[match(ROOT)]))
    assert "cannot add device gpu.example.com/node-1/gpu-1" in (outcome.error or "")

"""Admin access to shared devices: shares like any other, whatever the order, and so part of every proof."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from builders import CLASSES, DRIVER, EVERYTHING, claim, decide, device, match, picks, request, slice_
from fairlead.allocator import Allocator
from fairlead.allocator.bounds import Bounds
from fairlead.allocator.completion import Completion
from fairlead.allocator.demand import remaining
from fairlead.allocator.equivalence import Equivalence
from fairlead.allocator.moves import Moves, standing
from fairlead.cli.cases import inventory_of, parse_case

Json = Mapping[str, Any]


def card(name: str, memory: int, **attributes: object) -> dict[str, Any]:
    """A device of which anybody may have a share, by default of one."""
    policy = {"value": str(memory), "requestPolicy": {"default": "1"}}
    return device(name, attributes, capacity={"memory": policy}, allowMultipleAllocations=True)


def share(name: str, memory: int, count: int | str = 1, admin: bool = False) -> dict[str, Any]:
    """Shares of so much memory each."""
    fields = {"adminAccess": True} if admin else {}
    return request(name, count, capacity={"memory": str(memory)}, **fields)


def moves(slices: Sequence[Json], *claims: Json) -> Moves:
    """The choices of one decision about these claims."""
    line = {
        "features": EVERYTHING,
        "slices": slices,
        "classes": CLASSES,
        "claims": claims,
        "node": {"metadata": {"name": "node-1"}},
    }
    case = parse_case(json.dumps(line).encode())
    inventory = inventory_of(case)
    allocator = Allocator(case.classes, inventory.features)
    view = inventory.view("node-1")
    problem = allocator.problem(view, tuple([allocator.wanted(one).shape for one in case.claims]))
    return Moves(problem, standing(problem, view.occupancy))


def completable(slices: Sequence[Json], *claims: Json) -> bool:
    """Whether the completion search says that all can be met; the bounds are not asked first."""
    made = moves(slices, *claims)
    demands = remaining(made, len(made.problem.positions), 0, -1, 0, made.start(), 0)
    return Completion(made, Bounds(made), Equivalence(made)).possible(demands, made.start(), 0)


def test_a_completion_has_room_for_what_admin_access_draws() -> None:
    cards = [slice_([card("a", 10), card("b", 4)])]
    watching = claim(share("watch", 3, "All", admin=True), name="watch")
    assert completable(cards, claim(share("use", 7)), watching)
    assert not completable(cards, claim(share("use", 8)), watching)
    assert picks(decide(cards, claim(share("use", 7)), watching)) == ["use=a", "watch=a", "watch=b"]
    assert picks(decide(cards, claim(share("use", 8)), watching)) is None


def test_a_completion_leaves_out_admin_access_to_devices_that_serve_once() -> None:
    """Which of them it may have depends on the order of claims, of which a completion knows nothing."""
    use, watch = claim(request("use")), claim(request("watch", adminAccess=True), name="watch")
    gpus = [slice_("a")]
    assert picks(decide(gpus, use, watch)) == ["use=a", "watch=a"]
    assert picks(decide(gpus, watch, use)) is None
    assert completable(gpus, use, watch), "a no would be wrong"


def test_the_order_matters_where_admin_access_reaches_a_device_that_serves_once() -> None:
    mixed = [slice_([card("a", 4), device("b")])]
    failing = f'device.allowMultipleAllocations || device.attributes["{DRIVER}"].missing'
    for asked, observes in [
        (request("r", adminAccess=True), True),
        (request("r", 1, "device.allowMultipleAllocations", adminAccess=True), False),
        # Reaching b is an error there, but not where the claim has it already.
        (request("r", 1, failing, adminAccess=True), True),
        (request("r"), False),
    ]:
        made = moves(mixed, claim(asked))
        assert made.observes(made.problem.slots[0]) is observes


@pytest.mark.parametrize("seed", range(120))
def test_admin_access_to_shares_of_devices_that_nobody_holds_changes_nothing(seed: int) -> None:
    dice = random.Random(seed)
    cards = [slice_([card(f"c{i}", dice.randint(4, 9), model=i % 2) for i in range(dice.randint(2, 4))])]
    plain: list[Json] = []
    admin: list[Json] = []
    for number in range(dice.randint(1, 4)):
        asked = [(f"r{n}", dice.randint(1, 4), dice.choice([1, 1, 2])) for n in range(dice.randint(1, 4))]
        if number and dice.random() < 0.2:
            asked = [("all", 1, len(cards[0]["spec"]["devices"]))]
        alike = [match(f"{DRIVER}/model", asked[0][0])] if asked[0][2] < 2 else []
        name = f"claim-{number}"
        plain.append(claim(*[share(*one) for one in asked], constraints=alike, name=name))
        flags = [dice.random() < 0.4 for _ in asked]
        admin.append(
            claim(*[share(*one, admin) for one, admin in zip(asked, flags, strict=True)], constraints=alike, name=name)
        )
    assert picks(decide(cards, *admin)) == picks(decide(cards, *plain))

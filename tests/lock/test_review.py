"""What the lock lets pass and what it refuses, and how long a write counts that passed."""

from __future__ import annotations

import json

import msgspec
import pytest
from lock_objects import POOL, ask, claim, give, gone, index, no, result, shown

from builders import counters, device, slice_
from fairlead.controller import Listed
from fairlead.controller.lock import read, review, write

FOUR = [slice_("gpu-0 gpu-1 gpu-2 gpu-3")]


def test_a_device_is_given_once() -> None:
    where = index(FOUR)
    assert give(where, "a", "gpu-0").allowed
    assert no(give(where, "b", "gpu-1", "gpu-0")) == (
        "claim ml/b: device gpu.example.com/node-1/gpu-0 is held by claim ml/a"
    )
    assert give(where, "b", "gpu-1").allowed


def test_what_the_list_showed_is_held() -> None:
    where = index(FOUR, [claim("a", 3, "gpu-0")])
    assert "held by claim ml/a" in no(give(where, "b", "gpu-0"))


def test_a_claim_that_gives_its_device_back_frees_it_when_the_watch_shows_that() -> None:
    where = index(FOUR, [claim("a", 3, "gpu-0")])
    assert ask(where, claim("a", 3, "gpu-0"), claim("a", 3)).allowed
    assert no(give(where, "b", "gpu-0"))
    shown(where, claim("a", 4))
    assert give(where, "b", "gpu-0").allowed


def test_a_write_that_takes_nothing_more_passes_even_for_a_claim_that_should_not_have_its_device() -> None:
    twice = [claim("a", 3, "gpu-0"), claim("b", 4, "gpu-0")]
    where = index(FOUR, twice)
    for one in twice:
        assert ask(where, one, claim(one.name, 0, "gpu-0", pods=["p"])).allowed
    assert no(give(where, "c", "gpu-0"))
    gone(where, claim("a", 9, "gpu-0"))
    assert "held by claim ml/b" in no(give(where, "c", "gpu-0")), "the other one still holds it"
    gone(where, claim("b", 10, "gpu-0"))
    assert give(where, "c", "gpu-0").allowed


def test_a_dry_run_is_answered_and_holds_nothing() -> None:
    where = index(FOUR, [claim("a", 3, "gpu-0")])
    assert no(give(where, "b", "gpu-0", dry_run=True))
    assert give(where, "b", "gpu-1", dry_run=True).allowed
    assert give(where, "c", "gpu-1").allowed


def test_admin_access_takes_nothing_and_is_in_nobodys_way() -> None:
    where = index(FOUR)
    assert give(where, "admin", result("gpu-0", adminAccess=True)).allowed
    assert give(where, "a", "gpu-0").allowed
    assert give(where, "other-admin", result("gpu-0", adminAccess=True)).allowed


@pytest.mark.parametrize("devices", [["gpu-9"], ["gpu-0"]])
def test_a_device_that_no_complete_pool_publishes_is_not_given(devices: list[str]) -> None:
    missing = [slice_("gpu-0", count=2)] if devices == ["gpu-0"] else FOUR
    assert "is in no complete pool now" in no(give(index(missing), "a", *devices))


# How long a write counts that passed


def test_a_write_that_passed_counts_until_a_later_version_is_seen() -> None:
    where = index(FOUR, [claim("a", 3)])
    assert give(where, "a", "gpu-0", base=3).allowed
    shown(where, claim("a", 3))
    assert no(give(where, "b", "gpu-0"))
    shown(where, claim("a", 5))
    assert give(where, "b", "gpu-0").allowed, "version 5 is without it, so it can never come"


def test_a_write_that_came_counts_as_what_it_is() -> None:
    where = index(FOUR, [claim("a", 3)])
    assert give(where, "a", "gpu-0", base=3).allowed
    shown(where, claim("a", 5, "gpu-0"))
    assert not where.waiting
    assert no(give(where, "b", "gpu-0"))


def test_of_two_writes_to_one_claim_both_count_and_neither_is_in_the_others_way() -> None:
    where = index(FOUR, [claim("a", 3)])
    assert give(where, "a", "gpu-0", base=3).allowed
    assert give(where, "a", "gpu-0", "gpu-1", base=3).allowed
    assert no(give(where, "b", "gpu-0"))
    assert no(give(where, "b", "gpu-1"))
    shown(where, claim("a", 4, "gpu-0"))
    assert give(where, "b", "gpu-1").allowed


def test_a_write_for_a_version_that_was_replaced_is_not_counted() -> None:
    where = index(FOUR, [claim("a", 7)])
    assert give(where, "a", "gpu-0", base=3).allowed
    assert give(where, "b", "gpu-0").allowed


def test_a_write_to_a_claim_that_the_watch_does_not_show_yet_counts() -> None:
    where = index(FOUR)
    assert give(where, "new", "gpu-0", base=20).allowed
    assert no(give(where, "b", "gpu-0"))
    shown(where, claim("new", 20))
    assert no(give(where, "b", "gpu-0"))
    gone(where, claim("new", 21))
    assert give(where, "b", "gpu-0").allowed


def test_an_old_event_after_a_deletion_or_a_newer_version_changes_nothing() -> None:
    where = index(FOUR, [claim("a", 8, "gpu-0")])
    shown(where, claim("a", 4))
    assert no(give(where, "b", "gpu-0"))
    gone(where, claim("a", 6, "gpu-0"))
    assert no(give(where, "b", "gpu-0")), "that was the one before of the same name"


def test_a_list_drops_what_is_gone_and_keeps_what_is_newer_than_itself() -> None:
    where = index(FOUR, [claim("a", 3, "gpu-0"), claim("b", 4, "gpu-1")], version=5)
    shown(where, claim("c", 12, "gpu-2"))
    assert give(where, "d", "gpu-3", base=13).allowed
    where.handle(Listed("ResourceClaim", [claim("b", 4, "gpu-1")], 11))
    assert give(where, "x", "gpu-0", base=14).allowed
    for held in ("gpu-1", "gpu-2", "gpu-3"):
        assert no(give(where, "y", held, base=15))


def test_what_does_not_come_is_overdue_and_settled_by_a_write_of_ours() -> None:
    where = index(FOUR, [claim("a", 3), claim("b", 4)])
    for name, base in (("a", 3), ("b", 4), ("unknown", 5)):
        assert give(where, name, f"gpu-{base - 3}", base=base, now=base).allowed
    assert where.overdue(4.5) == [("ml/a", 3), ("ml/b", 4)]
    where.answered(claim("a", 11), 9.0)
    where.answered(claim("b", 12, "gpu-1"), 9.0)
    where.settled("ml/unknown", 5)
    assert not where.waiting
    assert give(where, "x", "gpu-0", "gpu-2", base=20).allowed
    assert no(give(where, "y", "gpu-1"))


def test_an_answer_brings_no_claim_back_that_is_gone() -> None:
    where = index(FOUR, [claim("a", 3, "gpu-0")])
    gone(where, claim("a", 8, "gpu-0"))
    where.answered(claim("a", 6, "gpu-0"), 9.0)
    assert no(give(where, "b", "gpu-0")), "it may be a new one that the watch does not show yet"
    assert where.overdue(10.0) == [("ml/a", 5)]
    where.settled("ml/a", 5)
    assert give(where, "b", "gpu-0").allowed


def test_an_answer_counts_before_the_watch_shows_the_claim() -> None:
    where = index(FOUR)
    assert give(where, "a", "gpu-0", base=11).allowed
    where.answered(claim("a", 14, "gpu-0"), 9.0)
    shown(where, claim("a", 11))
    assert no(give(where, "b", "gpu-0"))
    shown(where, claim("a", 14, "gpu-0"))
    assert not where.waiting
    assert no(give(where, "b", "gpu-0"))


# Shares and partitions

SHARED = [
    slice_(
        [device("nic", capacity={"bandwidth": "10G"}, allowMultipleAllocations=True), device("gpu-0")],
    )
]


def share(number: str, amount: str) -> dict[str, object]:
    return result("nic", shareID=f"id-{number}", consumed={"bandwidth": amount})


def test_shares_of_a_device_fit_together() -> None:
    where = index(SHARED, [claim("a", 3, share("1", "4G"))])
    assert give(where, "b", share("2", "5G")).allowed
    text = no(give(where, "c", share("3", "2G")))
    assert text.endswith("nic has 10G of bandwidth, its shares would take 11G; it is shared by claims ml/a, ml/b")
    assert give(where, "c", share("3", "1G")).allowed


def test_a_share_and_the_whole_device_exclude_each_other() -> None:
    where = index(SHARED)
    assert give(where, "a", share("1", "4G")).allowed
    assert no(give(where, "b", "nic"))
    other = index(SHARED)
    assert give(other, "a", "nic").allowed
    assert no(give(other, "b", share("1", "4G")))


def test_the_id_of_a_share_is_nobody_elses() -> None:
    where = index(SHARED, [claim("a", 3, share("1", "1G"))])
    assert "has a share id-1 that is held by claim ml/a" in no(give(where, "b", share("1", "1G")))
    assert give(where, "b", share("2", "9G")).allowed, "looking has changed nothing"


def test_a_second_try_of_a_claim_is_not_added_to_its_first() -> None:
    where = index(SHARED, [claim("a", 3)])
    assert give(where, "a", share("1", "8G"), base=3).allowed
    assert give(where, "a", share("2", "8G"), base=3).allowed
    assert no(give(where, "b", share("3", "4G")))
    shown(where, claim("a", 4, share("2", "8G")))
    assert give(where, "b", share("3", "2G")).allowed


PARTS = [
    slice_([], name="c", count=3, sharedCounters=counters(card={"memory": "40Gi", "engines": "7"})),
    slice_([device("whole", uses={"card": {"memory": "40Gi", "engines": "7"}})], name="d", count=3),
    slice_(
        [device(f"half-{i}", uses={"card": {"memory": "20Gi", "engines": "2"}}) for i in range(3)], name="e", count=3
    ),
]


def test_partitions_fit_into_the_counters_of_all_slices_of_their_pool() -> None:
    where = index(PARTS)
    assert give(where, "a", "half-0").allowed
    assert no(give(where, "b", "whole")).endswith(
        "whole needs more of memory, engines than counter set card has left; it is used by claim ml/a"
    )
    assert give(where, "b", "half-1").allowed
    assert "needs more of memory than" in no(give(where, "c", "half-2"))
    shown(where, claim("a", 5))
    assert give(where, "c", "half-2").allowed


def test_partitions_of_one_claim_count_together() -> None:
    assert no(give(index(PARTS), "a", "half-0", "half-1", "half-2"))
    assert give(index(PARTS), "a", "half-0", "half-1").allowed


def test_partitions_that_cannot_be_combined_are_not_given_together() -> None:
    def part(name: str, group: str) -> dict[str, object]:
        uses = [{"counterSet": "card", "counters": {"memory": {"value": "1Gi"}}, "compatibilityGroups": [group]}]
        return {"name": name, "consumesCounters": uses}

    where = index(
        [
            PARTS[0],
            slice_([part("a", "x"), part("b", "x")], name="d", count=3),
            slice_([part("c", "y")], name="e", count=3),
        ]
    )
    assert give(where, "a", "a").allowed
    assert "goes with none of the devices that use counter set card, of claim ml/a" in no(give(where, "c", "c"))
    assert give(where, "b", "b").allowed


# The wire


def message(before: object, after: object, **fields: object) -> bytes:
    request = {
        "uid": "4",
        "kind": {"group": "resource.k8s.io", "version": "v1", "kind": "ResourceClaim"},
        "resource": {"group": "resource.k8s.io", "version": "v1", "resource": "resourceclaims"},
        "subResource": "status",
        "operation": "UPDATE",
        "object": after,
        "oldObject": before,
        "dryRun": False,
        **fields,
    }
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return json.dumps(body).encode()


def plain(version: int, *devices: str) -> object:
    return json.loads(msgspec.json.encode(claim("a", version, *devices)))


def test_a_review_as_the_api_server_sends_it_is_answered_as_it_wants() -> None:
    where = index(FOUR)
    body = message(plain(3), plain(3, "gpu-0"))
    assert json.loads(write(review(where, read(body), 0.0))) == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "4", "allowed": True},
    }
    refused = json.loads(write(give(where, "b", "gpu-0")))["response"]
    assert refused["allowed"] is False
    assert refused["status"] == {
        "status": "Failure",
        "code": 403,
        "reason": "Forbidden",
        "message": f"claim ml/b: device gpu.example.com/{POOL}/gpu-0 is held by claim ml/a",
        "details": None,
    }


def test_other_writes_than_of_a_claims_status_pass() -> None:
    where = index(FOUR, [claim("b", 3, "gpu-0")])
    for other in ({"subResource": ""}, {"operation": "CREATE"}, {"resource": {"group": "", "resource": "pods"}}):
        assert review(where, read(message(plain(3), plain(3, "gpu-0"), **other)), 0.0).allowed
    assert no(review(where, read(message(plain(3), plain(3, "gpu-0"))), 0.0))


def test_while_nothing_is_known_only_what_takes_nothing_passes() -> None:
    assert review(None, read(message(plain(3, "gpu-0"), plain(3))), 0.0).allowed
    response = json.loads(write(review(None, read(message(plain(3), plain(3, "gpu-0"))), 0.0)))["response"]
    assert response["allowed"] is False
    assert response["status"]["code"] == 503
    assert 1 <= response["status"]["details"]["retryAfterSeconds"] <= 5


def test_what_is_no_review_is_an_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        read(b'{"request": {}}')

"""What is held more often than there is room, found and told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from lock_objects import claim, result
from lock_objects import index as index_of

from builders import convert, counters, device, slice_
from fairlead.cli import main
from fairlead.controller.events import Gone, Seen
from fairlead.controller.lock import duplicates
from fairlead.controller.lock.standing import Standing
from fairlead.inventory import Inventory
from fairlead.resource import ResourceClaim, ResourceSlice, encode_hook
from kube.certificates import Authority

TWO = slice_([device("gpu-0"), device("gpu-1")])
SHARED = slice_([device("nic", capacity={"bandwidth": "10G"}, allowMultipleAllocations=True)])
PARTS = [
    slice_([], name="c", count=2, sharedCounters=counters(card={"memory": "40Gi"})),
    slice_([device(f"half-{i}", uses={"card": {"memory": "20Gi"}}) for i in range(3)], name="d", count=2),
]


def found(slices: list[dict[str, object]], *claims: ResourceClaim) -> list[str]:
    return [str(one) for one in duplicates(Inventory([convert(ResourceSlice, one) for one in slices], claims))]


def share(number: int, amount: str) -> dict[str, object]:
    return result("nic", shareID=f"id-{number}", consumed={"bandwidth": amount})


def test_where_everything_is_held_once_there_are_none() -> None:
    assert found([TWO], claim("a", 1, "gpu-0"), claim("b", 2, "gpu-1"), claim("c", 3)) == []
    assert found([SHARED], claim("a", 1, share(1, "4G")), claim("b", 2, share(2, "6G"))) == []
    assert found(PARTS, claim("a", 1, "half-0"), claim("b", 2, "half-1")) == []


def test_admin_access_holds_nothing() -> None:
    assert found([TWO], claim("a", 1, "gpu-0"), claim("b", 2, result("gpu-0", adminAccess=True))) == []


def test_a_device_of_three_claims_is_one_duplicate_published_or_not() -> None:
    claims = [claim(name, 1, "gpu-0") for name in "abc"]
    text = "gpu.example.com/node-1/gpu-0 is held more than once: claims ml/a, ml/b, ml/c"
    assert found([TWO], *claims) == [text]
    assert found([], *claims) == [text]


def test_a_whole_device_of_which_another_has_a_share() -> None:
    (text,) = found([SHARED], claim("a", 1, "nic"), claim("b", 2, share(1, "1G")))
    assert text == "gpu.example.com/node-1/nic is held more than once: claims ml/a, ml/b"


def test_capacities_and_counters_that_are_overdrawn() -> None:
    assert found([SHARED], claim("a", 1, share(1, "6G")), claim("b", 2, share(2, "6G"))) == [
        "gpu.example.com/node-1/nic bandwidth has 10G, of which 12G are taken: claims ml/a, ml/b"
    ]
    assert found(PARTS, *[claim(name, 1, f"half-{number}") for number, name in enumerate("abc")]) == [
        "gpu.example.com/node-1 card memory has 40Gi, of which 60Gi are taken: claims ml/a, ml/b, ml/c"
    ]


def test_claims_that_may_hold_less_are_left_out_of_amounts() -> None:
    inventory = Inventory(
        [convert(ResourceSlice, SHARED)], [claim("a", 1, share(1, "6G")), claim("b", 2, share(2, "6G"))]
    )
    assert duplicates(inventory, unsure={"ml/b"}) == []


# The command


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    def invoke(*claims: ResourceClaim, output: str = "text") -> Result:
        items = [{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", **TWO}]
        for one in claims:
            plain = msgspec.to_builtins(one, enc_hook=encode_hook)
            items.append({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", **plain})
        file = tmp_path / "dump.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        return CliRunner().invoke(main, ["duplicates", "-f", str(file), "-o", output])

    return invoke


def test_the_command_says_who_holds_what_and_what_to_do(run: Callable[..., Result]) -> None:
    answer = run(claim("a", 1, "gpu-0", pods=["a-0"]), claim("b", 2, "gpu-0", pods=["b-0", "b-1"]))
    assert answer.exit_code == 1
    assert answer.output.startswith(
        "device gpu.example.com/node-1/gpu-0 is held more than once:\n"
        "  claim ml/a, pod ml/a-0\n"
        "  claim ml/b, pods ml/b-0, ml/b-1\n"
    )
    assert "Evict one holder first" in answer.output


def test_the_command_for_programs(run: Callable[..., Result]) -> None:
    answer = run(claim("a", 1, "gpu-0", pods=["a-0"]), claim("b", 2, "gpu-0"), output="json")
    assert answer.exit_code == 1
    assert json.loads(answer.output) == [
        {
            "kind": "device",
            "what": "gpu.example.com/node-1/gpu-0",
            "problem": "is held more than once",
            "holders": [
                {"claim": "ml/a", "pods": ["ml/a-0"], "allocated": None},
                {"claim": "ml/b", "pods": [], "allocated": None},
            ],
        }
    ]
    assert run(claim("a", 1, "gpu-0"), output="yaml").output == "[]\n"


def test_the_command_where_there_are_none(run: Callable[..., Result]) -> None:
    answer = run(claim("a", 1, "gpu-0"), claim("b", 2, "gpu-1"))
    assert (answer.exit_code, answer.output) == (0, "nothing is held twice\n")


def test_a_cluster_that_cannot_be_reached_is_one_line_and_status_2(tmp_path: Path) -> None:
    config = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "c", "context": {"cluster": "c"}}
    config.write_text(json.dumps({"clusters": [cluster], "contexts": [context], "current-context": "c"}))
    answer = CliRunner().invoke(main, ["duplicates", "--kubeconfig", str(config)])
    assert answer.exit_code == 2
    assert answer.output.startswith("Error: http://127.0.0.1:9")
    assert len(answer.output.splitlines()) == 1


# What stands, look after look


def test_what_is_held_twice_stands_until_it_is_given_back() -> None:
    index = index_of([SHARED], [claim("a", 2, share(1, "6G")), claim("b", 3, share(2, "6G"))], 3)
    standing = Standing(index)
    (short,) = standing.look()
    assert short.kind == "capacity"
    assert standing.look() == [short], "nothing changed"
    index.handle(Seen("ResourceClaim", claim("c", 4)))
    assert standing.look() == [short], "something else changed"
    index.handle(Seen("ResourceClaim", claim("a", 5)))
    assert list(standing.look()) == []
    index.handle(Seen("ResourceClaim", claim("a", 6, share(3, "9G"))))
    (short,) = standing.look()
    index.handle(Gone("ResourceClaim", claim("b", 7)))
    assert list(standing.look()) == []


# fairlead webhook


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--listen", "9443"], "Error: --listen 9443: must be HOST:PORT"),
        (["--listen", "127.0.0.1:0", "--metrics", "8080"], "Error: --metrics 8080: must be HOST:PORT"),
        (["--pod", "webhook-0"], "must be NAMESPACE/NAME"),
        (["--cert", "/nowhere/tls.crt"], "Error: /nowhere/tls.crt: No such file or directory"),
        (["--key", "{cert}"], "no certificate with its key"),
    ],
)
def test_what_is_wrong_with_the_webhooks_options_is_one_line(options: list[str], message: str, tmp_path: Path) -> None:
    certificate, key = Authority.create(tmp_path).issue("webhook")
    config = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "c", "context": {"cluster": "c"}}
    config.write_text(json.dumps({"clusters": [cluster], "contexts": [context], "current-context": "c"}))
    command = [sys.executable, "-c", "from fairlead.cli import main; main()", "webhook", f"--kubeconfig={config}"]
    command += [f"--cert={certificate}", f"--key={key}", *(option.format(cert=certificate) for option in options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_files_that_do_not_go_together_are_left_until_they_do(tmp_path: Path) -> None:
    from fairlead.controller.lock.certificates import Certificates

    authority = Authority.create(tmp_path)
    first, second = authority.issue("webhook"), authority.issue("other")
    certificates = Certificates(*first)
    said: list[str] = []

    def log(event: str, **fields: object) -> None:
        said.append(event)

    certificates.renew(log)
    first[0].write_bytes(second[0].read_bytes())
    certificates.renew(log)
    first[1].write_bytes(second[1].read_bytes())
    certificates.renew(log)
    certificates.renew(log)
    assert said == ["certificate not renewed", "certificate renewed"]

"""Lists that the API server writes as null when they are empty."""

from __future__ import annotations

import msgspec

from fairlead.resource import ResourceClaim, decode_hook, validate


def read(text: str) -> ResourceClaim:
    return msgspec.json.decode(text, type=ResourceClaim, dec_hook=decode_hook)


def test_a_claim_without_requests() -> None:
    assert read('{"spec":{"devices":{"requests":null}}}').spec.devices.requests == []


def test_a_device_status_without_conditions() -> None:
    device = '{"driver":"d.example.com","pool":"p","device":"a","conditions":null}'
    result = '{"request":"r","driver":"d.example.com","pool":"p","device":"a"}'
    claim = read(f'{{"status":{{"allocation":{{"devices":{{"results":[{result}]}}}},"devices":[{device}]}}}}')
    assert claim.status.devices[0].conditions == []
    assert not [problem for problem in validate(claim) if problem.field.startswith("status.devices")]

"""Lists that the API server writes as null when they are empty."""

from __future__ import annotations

import msgspec

from fairlead.resource import ResourceClaim, decode_hook, validate


def test_a_device_status_without_conditions() -> None:
    device = '{"driver":"d.example.com","pool":"p","device":"a","conditions":null}'
    result = '{"request":"r","driver":"d.example.com","pool":"p","device":"a"}'
    text = f'{{"status":{{"allocation":{{"devices":{{"results":[{result}]}}}},"devices":[{device}]}}}}'
    claim = msgspec.json.decode(text, type=ResourceClaim, dec_hook=decode_hook)
    assert claim.status.devices[0].conditions is None
    assert not [problem for problem in validate(claim) if problem.field.startswith("status.devices")]

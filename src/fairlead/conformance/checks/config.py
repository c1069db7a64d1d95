"""Opaque configuration: read where it is the driver's, refused where it is not understood."""

from __future__ import annotations

import json
from typing import Any

from fairlead.conformance.apiserver import Json
from fairlead.conformance.cdi import find
from fairlead.conformance.check import check, expect
from fairlead.conformance.claims import OTHER_DRIVER, Made
from fairlead.conformance.lab import Lab
from fairlead.conformance.outcomes import Skip

_API = "ResourceClaim status.allocation.devices.config"
_GIVE = "give the driver's parameters with --config"


@check(
    "config-foreign",
    "Another driver's configuration is ignored",
    expected="A claim whose configuration is another driver's is prepared.",
    source=_API + ": opaque.driver says whose it is",
    why="A claim with devices of two drivers has the configuration of both.",
)
async def foreign(lab: Lab) -> str:
    entry = _entry("FromClaim", {"apiVersion": "nothing.example.com/v9", "kind": "Unknown"}, OTHER_DRIVER)
    await lab.prepared(lab.claims.make(config=[entry]))
    return "prepared"


@check(
    "config-unknown",
    "Configuration of an unknown kind is refused",
    expected="A claim with parameters for the driver of a kind that does not exist gets an error.",
    source="practice: strict decoding",
    why="The user wrote something and takes it for done. dra-driver-spyre never decodes its configuration, "
    "power-dra-driver decodes it and drops it.",
)
async def unknown(lab: Lab) -> str:
    entry = _entry("FromClaim", {"apiVersion": "nothing.example.com/v9", "kind": "Unknown"}, lab.name)
    return await lab.refused(lab.claims.make(config=[entry]))


@check(
    "config-known",
    "The driver's own configuration is taken",
    expected="Claims with the given parameters, from the class and from the claim, are prepared.",
    source=_API,
    why="Parameters that work in one place only cannot be used in a DeviceClass, or not in a claim.",
)
async def known(lab: Lab) -> str:
    for parameters in _given(lab, 1):
        for source in ("FromClass", "FromClaim"):
            claim = lab.claims.make(config=[_entry(source, parameters, lab.name)])
            await lab.prepared(claim)
            await lab.done(claim)
    return f"{len(lab.options.configs)} parameters"


@check(
    "config-unknown-field",
    "A field that does not exist is refused",
    expected="The given parameters with one more field that does not exist get an error.",
    source="practice: strict decoding",
    why="A field with a spelling mistake is silently without effect.",
)
async def unknown_field(lab: Lab) -> str:
    parameters = {**_given(lab, 1)[0], "noSuchField": True}
    return await lab.refused(lab.claims.make(config=[_entry("FromClaim", parameters, lab.name)]))


@check(
    "config-precedence",
    "The claim's configuration wins over the class's",
    expected="With the first parameters from the class and the second from the claim, containers get what they get "
    "from the claim's alone, and not what they get from the class's alone.",
    source=_API + ": class first, then claim, the last wins",
    why="The administrator's default would overrule what the user asked for.",
)
async def precedence(lab: Lab) -> str:
    of_class, of_claim = _given(lab, 2)[:2]
    results = lab.claims.allocated()
    first, second = _entry("FromClass", of_class, lab.name), _entry("FromClaim", of_claim, lab.name)
    seen = []
    for config in ([first], [second], [first, second]):
        claim = lab.claims.make(results, config=config)
        seen.append(await _edits(lab, claim))
        await lab.done(claim)
    if seen[0] == seen[1]:
        raise Skip("the two parameters lead to the same edits")
    expect(seen[2] != seen[0], f"with both: {_env(seen[2])}, as with the class's alone")
    return f"with both: {_env(seen[2])}"


@check(
    "config-other-request",
    "Configuration for another request is not applied",
    expected="Parameters that name another request change nothing of a request's devices.",
    source=_API + ": requests",
    why="Two requests of a claim are configured differently, and both get the last.",
)
async def other_request(lab: Lab) -> str:
    parameters = _given(lab, 1)[0]
    plain = lab.claims.make(count=2)
    seen = []
    for config in (
        [],
        [_entry("FromClaim", parameters, lab.name, ["r1"])],
        [_entry("FromClaim", parameters, lab.name)],
    ):
        claim = lab.claims.make([dict(one) for one in plain.results], config=config)
        seen.append(await _edits(lab, claim, "r0"))
        await lab.done(claim)
    if seen[0] == seen[2]:
        raise Skip("the parameters change no edits")
    expect(seen[1] == seen[0], f"parameters for r1 changed r0: {_env(seen[1])}")
    return "unchanged"


async def _edits(lab: Lab, claim: Made, request: str = "") -> list[Json]:
    """Prepares a claim; the edits of its devices, without what names the claim."""
    answer = await lab.prepared(claim)
    specs = lab.specs()
    devices = [one for one in answer.devices if not request or request in one.requests]
    found = [find(specs, name) for one in devices for name in one.cdi_ids]
    text = json.dumps([one[1] for one in found if one is not None])
    edits: list[Json] = json.loads(text.replace(claim.ref.uid, "UID").replace(claim.ref.name, "NAME"))
    return edits


def _entry(source: str, parameters: Json, driver: str, requests: list[str] | None = None) -> Json:
    entry: Json = {"source": source, "opaque": {"driver": driver, "parameters": parameters}}
    return {**entry, "requests": requests} if requests else entry


def _given(lab: Lab, least: int) -> tuple[Json, ...]:
    if len(lab.options.configs) < least:
        raise Skip(_GIVE if least == 1 else f"{_GIVE} twice")
    return lab.options.configs


def _env(edits: list[dict[str, Any]]) -> str:
    return ", ".join(one for entry in edits for one in entry.get("env") or [])[:200] or "no environment"

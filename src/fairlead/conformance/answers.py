"""Reading what a driver answered to kubelet."""

from __future__ import annotations

from fairlead.conformance.kubelet import Answer


def describe(answer: Answer) -> str:
    """An answer in one line."""
    if answer.error:
        return f"error {answer.error!r}"
    devices = [f"{one.device} for {','.join(one.requests)} ({', '.join(one.cdi_ids)})" for one in answer.devices]
    return "; ".join(devices) or "no devices"


def cdi_ids(answer: Answer) -> list[str]:
    """The CDI devices of an answer."""
    return [one for device in answer.devices for one in device.cdi_ids]

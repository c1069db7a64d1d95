"""What is there before the driver: a node, objects of others that must stay as they are, a kubeconfig."""

from __future__ import annotations

from pathlib import Path

from fairlead.conformance.apiserver import NODES, SLICES, Json, Store
from fairlead.conformance.claims import CLASS, OTHER_DRIVER


def furnish(store: Store, node: str) -> None:
    """Makes the node, another one, and a slice of another driver."""
    labelled = {
        "metadata": {"name": node, "labels": {"kubernetes.io/hostname": node}},
        "status": {"capacity": {"cpu": "8", "memory": "32Gi"}, "allocatable": {"cpu": "8", "memory": "32Gi"}},
    }
    store.create(NODES, "", labelled)
    store.create(NODES, "", {"metadata": {"name": "other-node"}})
    store.create(SLICES, "", _slice(OTHER_DRIVER, node, "others"))


def add_namesake(store: Store, driver: str) -> None:
    """A slice of the driver's instance on another node."""
    store.create(SLICES, "", _slice(driver, "other-node", "namesake"))


def write_kubeconfig(path: Path, address: str) -> None:
    """A kubeconfig for the stand-in."""
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: conformance\n"
        f"clusters: [{{name: conformance, cluster: {{server: '{address}'}}}}]\n"
        "users: [{name: conformance, user: {token: conformance}}]\n"
        "contexts: [{name: conformance, context: {cluster: conformance, user: conformance}}]\n"
    )


def _slice(driver: str, node: str, name: str) -> Json:
    return {
        "metadata": {"name": name},
        "spec": {
            "driver": driver,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "thing-0", "attributes": {"model": {"string": CLASS}}}],
        },
    }

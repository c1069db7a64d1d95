"""What stands in deploy/manifests/webhook agrees with the code and with docs/lock.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from fairlead.cli.webhook import webhook
from fairlead.controller.lock.label import LABEL, VALUE
from fairlead.controller.patches import LOCK

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "manifests" / "webhook"


def the(kind: str, name: str) -> dict[str, Any]:
    objects = [one for file in FOLDER.glob("*.yaml") for one in yaml.safe_load_all(file.read_text()) if one]
    (found,) = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def test_the_controller_knows_the_lock_by_its_name() -> None:
    (registered,) = the("ValidatingWebhookConfiguration", "fairlead-lock")["webhooks"]
    assert registered["name"] == LOCK
    assert registered["failurePolicy"] == "Fail"
    assert registered["clientConfig"]["service"]["path"] == "/review"


def test_the_service_selects_the_pod_that_answers() -> None:
    selector = the("Service", "fairlead-webhook")["spec"]["selector"]
    assert selector[LABEL] == VALUE
    labels = the("Deployment", "fairlead-webhook")["spec"]["template"]["metadata"]["labels"]
    assert selector.items() - labels.items() == {(LABEL, VALUE)}


def test_each_replica_is_scraped_where_it_serves_its_metrics() -> None:
    service = the("Service", "fairlead-webhook-metrics")
    pod = the("Deployment", "fairlead-webhook")["spec"]["template"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert LABEL not in service["spec"]["selector"]
    (container,) = pod["spec"]["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    (port,) = service["spec"]["ports"]
    assert f"--metrics=0.0.0.0:{ports[port['targetPort']]}" in container["args"]
    assert service["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/path": "/metrics",
        "prometheus.io/port": str(ports["metrics"]),
    }


def test_the_deployment_uses_options_that_the_command_has() -> None:
    (container,) = the("Deployment", "fairlead-webhook")["spec"]["template"]["spec"]["containers"]
    command, *options = container["args"]
    assert command == webhook.name
    known = {option for parameter in webhook.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {option.partition("=")[0] for option in options} <= known


def test_the_rights_are_the_documented_ones() -> None:
    documented = set()
    section = (ROOT / "docs" / "lock.md").read_text().split("## Rights")[1].split("\n## ")[0]
    for resources, verbs in re.findall(r"^\| (.*?) \| (.*?) \|$", section, re.MULTILINE)[2:]:
        (name,) = re.findall(r"^\w+", resources)
        documented |= {(name, verb) for verb in re.findall(r"get|list|watch|create|patch", verbs)}
    granted = set()
    for kind in ("ClusterRole", "Role"):
        for rule in the(kind, "fairlead-webhook")["rules"]:
            granted |= {(resource, verb) for resource in rule["resources"] for verb in rule["verbs"]}
    assert granted == documented

"""What stands in deploy/manifests/webhook agrees with the code and with docs/lock.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from fairlead.controller.lock.label import LABEL, VALUE
from fairlead.controller.patches import LOCK

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "manifests" / "webhook"


def the(kind: str, name: str) -> dict[str, Any]:
    objects = [one for file in FOLDER.glob("*.yaml") for one in yaml.safe_load_all(file.read_text()) if one]
    (found,) = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def test_the_controller_knows_the_lock_by_its_name() -> None:
    (webhook,) = the("ValidatingWebhookConfiguration", "fairlead-lock")["webhooks"]
    assert webhook["name"] == LOCK
    assert webhook["failurePolicy"] == "Fail"
    assert webhook["clientConfig"]["service"]["path"] == "/review"


def test_the_service_selects_the_pod_that_answers() -> None:
    selector = the("Service", "fairlead-webhook")["spec"]["selector"]
    assert selector[LABEL] == VALUE
    labels = the("Deployment", "fairlead-webhook")["spec"]["template"]["metadata"]["labels"]
    assert selector.items() - labels.items() == {(LABEL, VALUE)}


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

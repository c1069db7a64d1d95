"""deploy/manifests is what deploy/chart makes of its default values; skipped where there is no helm."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from kube import MissingProgramError

DEPLOY = Path(__file__).parent.parent.parent / "deploy"


@pytest.fixture(scope="module")
def chart() -> ModuleType:
    """deploy/render.py."""
    spec = importlib.util.spec_from_file_location("render", DEPLOY / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        module.find_helm()
    except MissingProgramError as error:
        pytest.skip(f"{error} (python -m kube build helm)")
    return module


def objects(text: str) -> dict[tuple[str, str], Any]:
    """The objects of a text, by kind and name; none comes twice."""
    found = [one for one in yaml.safe_load_all(text) if one]
    by_key = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(by_key) == len(found)
    return by_key


def test_the_manifests_are_the_charts(chart: ModuleType) -> None:
    folder = DEPLOY / "manifests"
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.yaml")}
    assert files == chart.manifests(), "run python deploy/render.py"


def test_all_that_the_chart_makes_is_in_a_file(chart: ModuleType) -> None:
    files = [path.read_text() for path in (DEPLOY / "manifests").glob("*.yaml")]
    assert objects("---\n".join(files)) == objects(chart.render("--set=namespace.create=true"))
    files += [path.read_text() for path in (DEPLOY / "manifests" / "webhook").glob("*.yaml")]
    lock = "--set=namespace.create=true,webhook.enabled=true,webhook.certificate.source=cert-manager"
    assert objects("---\n".join(files)) == objects(chart.render(lock))


@pytest.mark.parametrize(
    ("options", "gone", "new"),
    [
        pytest.param(
            ["oneWriter.enabled=false"], {"fairlead-one-writer", "fairlead-gate-kept"}, set(), id="one-writer"
        ),
        pytest.param(["gate.enabled=false"], {"fairlead-gate", "fairlead-finalizer"}, set(), id="gate"),
        pytest.param(["metrics.serviceMonitor.enabled=true"], set(), {"ServiceMonitor"}, id="service-monitor"),
    ],
)
def test_parts_are_left_out_or_added(chart: ModuleType, options: list[str], gone: set[str], new: set[str]) -> None:
    default = objects(chart.render())
    changed = objects(chart.render(*(f"--set={option}" for option in options)))
    assert gone <= {name for _, name in default.keys() - changed.keys()}
    assert new == {kind for kind, _ in changed.keys() - default.keys()}


def test_the_lock_is_scraped_where_the_controller_is(chart: ModuleType) -> None:
    made = objects(chart.render("--set=webhook.enabled=true,metrics.serviceMonitor.enabled=true,listen.port=9090"))
    assert {name for kind, name in made if kind == "ServiceMonitor"} == {"fairlead-controller", "fairlead-webhook"}
    selector = made["ServiceMonitor", "fairlead-webhook"]["spec"]["selector"]["matchLabels"]
    endpoints = {one["port"] for one in made["ServiceMonitor", "fairlead-webhook"]["spec"]["endpoints"]}
    services = {
        name: {one["port"] for one in service["spec"]["ports"] if one["name"] in endpoints}
        for (kind, name), service in made.items()
        if kind == "Service" and selector.items() <= service["metadata"]["labels"].items()
    }
    assert services == {"fairlead-webhook": set(), "fairlead-webhook-metrics": {9090}}


def test_values_reach_the_objects(chart: ModuleType) -> None:
    given = [
        "image.repository=registry.example/fairlead",
        "image.tag=1.2.3",
        "replicas=1",
        "optIn.label=example.com/fairlead",
        "optIn.value=yes-please",
        "oneWriter.deviceClasses={a,b.example.com}",
        "oneWriter.emergencyGroups={admins,helpers}",
        "oneWriter.validationActions={Warn,Audit}",
        "listen.port=9090",
        "extraArgs={--one,--two=3}",
        "nodeSelector.role=system",
    ]
    made = objects(chart.render(*(f"--set={one}" for one in given)))
    deployment = made["Deployment", "fairlead-controller"]["spec"]
    pod = deployment["template"]["spec"]
    assert deployment["replicas"] == 1
    assert pod["nodeSelector"] == {"role": "system"}
    assert pod["containers"][0]["image"] == "registry.example/fairlead:1.2.3"
    assert pod["containers"][0]["args"][-3:] == ["--listen=0.0.0.0:9090", "--one", "--two=3"]
    assert pod["containers"][0]["ports"][0]["containerPort"] == 9090
    selector = {"namespaceSelector": {"matchLabels": {"example.com/fairlead": "yes-please"}}}
    for kind, name in (("MutatingAdmissionPolicyBinding", "fairlead-gate"),):
        assert made[kind, name]["spec"]["matchResources"] == selector
    claims = yaml.safe_dump(made["ValidatingAdmissionPolicy", "fairlead-one-writer-claims"], width=1000)
    assert "'yes-please'" in claims.replace("''", "'")
    assert made["ConfigMap", "fairlead-managed-classes"]["data"]["deviceClasses"] == "a\nb.example.com"
    kept = made["ValidatingAdmissionPolicy", "fairlead-gate-kept"]["spec"]["matchConditions"]
    assert "g in ['admins','helpers']" in kept[-1]["expression"]
    bindings = [one for (kind, _), one in made.items() if kind == "ValidatingAdmissionPolicyBinding"]
    assert len(bindings) == 5
    assert all(one["spec"]["validationActions"] == ["Warn", "Audit"] for one in bindings)


def test_another_namespace_is_another_controller(chart: ModuleType) -> None:
    text = chart.render("--namespace=elsewhere")
    assert "system:serviceaccount:elsewhere:fairlead-controller" in text
    assert "fairlead-system" not in text

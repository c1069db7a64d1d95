"""deploy/manifests is what deploy/chart makes of its default values; skipped where there is no helm."""

from __future__ import annotations

import importlib.util
import subprocess
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
    files += [path.read_text() for path in (DEPLOY / "manifests" / "node").glob("*.yaml")]
    assert objects("---\n".join(files)) == objects(chart.render(lock, f"--values={chart.NODE_VALUES}"))
    files += [path.read_text() for path in (DEPLOY / "manifests" / "pools").glob("*.yaml")]
    values = [f"--values={path}" for path in (chart.NODE_VALUES, chart.POOLS_VALUES)]
    assert objects("---\n".join(files)) == objects(chart.render(lock, *values))


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


NODE = ["node.enabled=true", "node.drivers[0].driver=cards:Cards", "node.drivers[0].names={cards.example.com}"]


def test_values_reach_the_drivers(chart: ModuleType) -> None:
    given = [
        *NODE,
        "node.drivers[1].driver=simulated=/etc/fairlead/h.yaml",
        "node.drivers[1].names={dra.net,cards.example.com}",
        "node.namespace=devices",
        "node.machine=true",
        "node.configMap=hardware",
        "node.image.repository=registry.example/cards",
        "node.securityContext.privileged=true",
        "node.extraArgs={--log-format=text}",
        "image.tag=1.2.3",
        "listen.port=9090",
        "metrics.serviceMonitor.enabled=true",
    ]
    made = objects(chart.render(*(f"--set={one}" for one in given)))
    spec = made["DaemonSet", "fairlead-node"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "registry.example/cards:1.2.3"
    assert container["args"] == [
        "node",
        "--driver=cards:Cards",
        "--driver=simulated=/etc/fairlead/h.yaml",
        "--listen=0.0.0.0:9090",
        "--root=/host",
        "--log-format=text",
    ]
    assert container["securityContext"]["privileged"] is True
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in spec["volumes"]}
    assert {"name": "config", "configMap": {"name": "hardware"}} in spec["volumes"]
    assert made["ClusterRole", "fairlead-node"]["rules"][-1]["resourceNames"] == ["cards.example.com", "dra.net"]
    for kind, name in (
        ("DaemonSet", "fairlead-node"),
        ("ServiceAccount", "fairlead-node"),
        ("PodMonitor", "fairlead-node"),
    ):
        assert made[kind, name]["metadata"]["namespace"] == "devices"
    assert made["ClusterRoleBinding", "fairlead-node"]["subjects"][0]["namespace"] == "devices"


@pytest.mark.parametrize(
    ("options", "reason"),
    [(NODE[:1], "node.drivers must name a driver"), (NODE[:2], "each needs names")],
    ids=["no driver", "no names"],
)
def test_drivers_without_a_name_are_refused(chart: ModuleType, options: list[str], reason: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        chart.render(*(f"--set={one}" for one in options))
    assert reason in caught.value.stderr


def test_no_drivers_unless_they_are_asked_for(chart: ModuleType) -> None:
    assert not [name for kind, name in objects(chart.render()) if kind == "DaemonSet"]


FABRIC = "fabric=/etc/fairlead/f.yaml"
POOLS = ["pools.enabled=true", f"pools.drivers[0].driver={FABRIC}", "pools.drivers[0].names={a.b,c.d}"]


def test_values_reach_what_publishes_pools(chart: ModuleType) -> None:
    given = [
        *POOLS,
        "pools.configMap=racks",
        "pools.secret=managers",
        "pools.caConfigMap=authorities",
        "pools.image.repository=registry.example/mine",
        "pools.nodeSelector.role=system",
        "pools.extraArgs={--log-format=text}",
        "image.tag=1.2.3",
        "metrics.serviceMonitor.enabled=true",
    ]
    made = objects(chart.render("--namespace=elsewhere", *(f"--set={one}" for one in given)))
    deployment = made["Deployment", "fairlead-pools"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    spec = deployment["template"]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "registry.example/mine:1.2.3"
    assert container["args"] == [
        "node",
        "--shared-pools",
        f"--driver={FABRIC}",
        "--listen=0.0.0.0:8080",
        "--log-format=text",
    ]
    assert spec["nodeSelector"] == {"role": "system"}
    paths = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert paths == {"config": "/etc/fairlead", "credentials": "/etc/fabric", "ca": "/etc/fabric-ca"}
    sources = {one["name"]: one for one in spec["volumes"]}
    assert sources["config"]["configMap"]["name"] == "racks"
    assert sources["credentials"]["secret"]["secretName"] == "managers"
    assert sources["ca"]["configMap"]["name"] == "authorities"
    assert made["ClusterRole", "fairlead-pools"]["rules"][-1] == {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["resourceclaims/driver"],
        "resourceNames": ["a.b", "c.d"],
        "verbs": ["arbitrary-node:patch"],
    }
    for kind in ("Deployment", "ServiceAccount", "PodMonitor"):
        assert made[kind, "fairlead-pools"]["metadata"]["namespace"] == "elsewhere"
    assert made["ClusterRoleBinding", "fairlead-pools"]["subjects"][0]["namespace"] == "elsewhere"
    plain = objects(chart.render(*(f"--set={one}" for one in POOLS)))
    assert "volumes" not in plain["Deployment", "fairlead-pools"]["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [(POOLS[:1], "pools.drivers must name a driver"), (POOLS[:2], "each needs names")],
    ids=["no driver", "no names"],
)
def test_pools_without_a_driver_are_refused(chart: ModuleType, options: list[str], reason: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        chart.render(*(f"--set={one}" for one in options))
    assert reason in caught.value.stderr


def drivers(chart: ModuleType, *given: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The DaemonSet and its container, with these drivers and values."""
    names = [one for one in given if "=" not in one or one.startswith(("bluefield=", "network=", "cards"))]
    values = [one for one in given if one not in names]
    for index, name in enumerate(names):
        values += [f"node.drivers[{index}].driver={name}", f"node.drivers[{index}].names={{d{index}.example.com}}"]
    made = objects(chart.render("--set=node.enabled=true", *(f"--set={one}" for one in values)))
    spec = made["DaemonSet", "fairlead-node"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    return spec, container


@pytest.mark.parametrize(
    ("given", "network", "processes", "capabilities"),
    [
        (["cards:Cards"], False, False, None),
        (["cards.bluefield:Cards"], False, False, None),
        (["bluefield"], True, False, ["NET_ADMIN"]),
        (["cards:Cards", "bluefield=/etc/fairlead/dpu.yaml"], True, False, ["NET_ADMIN"]),
        (["network=only=a"], True, True, ["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"]),
        (["bluefield", "network"], True, True, ["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"]),
        (["bluefield", "node.hostNetwork=false"], False, False, ["NET_ADMIN"]),
        (["cards:Cards", "node.hostNetwork=true", "node.hostPID=true"], True, True, None),
        (["bluefield", "node.securityContext.capabilities.add={IPC_LOCK}"], True, False, ["NET_ADMIN", "IPC_LOCK"]),
    ],
)
def test_drivers_get_of_the_node_what_they_need_and_no_more(
    chart: ModuleType, given: list[str], network: bool, processes: bool, capabilities: list[str] | None
) -> None:
    spec, container = drivers(chart, *given)
    pod = spec["template"]["spec"]
    assert pod.get("hostNetwork", False) is network
    assert pod.get("dnsPolicy") == ("ClusterFirstWithHostNet" if network else None)
    assert pod.get("hostPID", False) is processes
    context = container["securityContext"]
    assert context["capabilities"].get("add") == capabilities
    assert context["capabilities"]["drop"] == ["ALL"]
    assert "privileged" not in context
    assert context["allowPrivilegeEscalation"] is False
    # Two instances in the node's network would want the same port.
    update = {"maxSurge": 0, "maxUnavailable": 1} if network else {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["updateStrategy"]["rollingUpdate"] == update
    names = {one["name"] for one in pod["volumes"]}
    assert ("netns" in names) == any(one.startswith("network") for one in given)
    assert {one["name"] for one in container["volumeMounts"]} == names


def test_a_driver_in_the_nodes_network_may_have_a_port_of_its_own(chart: ModuleType) -> None:
    spec, container = drivers(chart, "bluefield", "node.port=9464", "node.secret=dpu-tls")
    assert "--listen=0.0.0.0:9464" in container["args"]
    assert container["ports"][0]["containerPort"] == 9464
    pod = spec["template"]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "9464"
    assert {"name": "secret", "secret": {"secretName": "dpu-tls", "defaultMode": 0o400}} in pod["spec"]["volumes"]


def test_the_values_for_dpus_are_taken(chart: ModuleType) -> None:
    made = objects(chart.render(f"--values={DEPLOY / 'bluefield.yaml'}"))
    pod = made["DaemonSet", "fairlead-node"]["spec"]["template"]["spec"]
    assert pod["hostNetwork"] is True
    paths = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    assert paths["config"] == "/etc/fairlead"
    assert paths["secret"] == "/etc/fairlead-secret"
    claims = [rule for rule in made["ClusterRole", "fairlead-node"]["rules"] if rule["resources"] == ["resourceclaims"]]
    assert claims[0]["verbs"] == ["get", "list", "watch"]

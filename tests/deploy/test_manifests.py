"""What stands in deploy/, without any program of Kubernetes: rights, names, the recipe of the image."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml

from fairlead.cli.controller import controller
from fairlead.cli.dpu_agent import dpu_agent
from fairlead.cli.node import node
from fairlead.controller import FINALIZER, GATE

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"


def objects() -> list[dict[str, Any]]:
    texts = [path.read_text() for path in sorted((DEPLOY / "manifests").glob("*.yaml"))]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def the(kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in objects() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def test_the_rights_are_the_documented_ones() -> None:
    documented = set()
    section = (ROOT / "docs" / "controller.md").read_text().split("## Rights")[1].split("\n## ")[0]
    for resources, verbs in re.findall(r"^\| ([a-z].*?) \| (.*?) \|$", section, re.MULTILINE)[1:]:
        names = re.findall(r"[a-z]+(?:/[a-z]+)?(?=, | \(|$)", re.sub(r"\), .*", "", resources))
        documented |= {(name, verb) for name in names for verb in verbs.split(", ")}
    granted = set()
    for kind in ("ClusterRole", "Role"):
        for rule in the(kind, "fairlead-controller")["rules"]:
            granted |= {(resource, verb) for resource in rule["resources"] for verb in rule["verbs"]}
    assert granted == documented


def test_no_rule_grants_everything_of_something() -> None:
    for one in objects():
        for rule in one.get("rules", []):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_policies_speak_of_the_controllers_own_gate_and_finalizer() -> None:
    policies = (DEPLOY / "manifests" / "20-gate.yaml").read_text()
    assert f"value: {{'name': '{GATE}'}}" in policies
    assert f"value: '{FINALIZER}'" in policies


def test_the_deployment_uses_options_that_the_command_has() -> None:
    spec = the("Deployment", "fairlead-controller")["spec"]["template"]["spec"]
    command, *options = spec["containers"][0]["args"]
    assert command == controller.name
    known = {option for parameter in controller.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {option.partition("=")[0] for option in options} <= known


def test_the_container_has_no_rights_on_its_node() -> None:
    spec = the("Deployment", "fairlead-controller")["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def pins(path: Path) -> dict[str, set[str]]:
    """The hashes of each pinned requirement, with its marker."""
    found: dict[str, set[str]] = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if "==" in line and not line.strip().startswith("#"):
            pinned, *hashes = line.split("--hash=")
            found[pinned.strip()] = {one.strip() for one in hashes}
    return found


def test_the_image_installs_what_the_project_locks() -> None:
    everything = {name.split(";")[0].strip(): hashes for name, hashes in pins(ROOT / "requirements.lock").items()}
    for name in ("requirements.lock", "requirements-build.lock"):
        of_image = pins(DEPLOY / name)
        assert of_image
        for pinned, hashes in of_image.items():
            assert hashes
            assert everything[pinned.split(";")[0].strip()] == hashes, f"{pinned}: run make lock"


def test_the_image_has_all_that_the_controller_and_drivers_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["driver"]]
    locked = {pinned.split("==")[0] for pinned in pins(DEPLOY / "requirements.lock")}
    assert {re.split("[>=]", one)[0] for one in needed} <= locked, "run make lock"


def test_the_image_copies_files_that_exist() -> None:
    lines = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ").splitlines()
    copied = [words[1:-1] for line in lines if (words := line.split()) and words[0] == "COPY"]
    sources = [one for words in copied if not any(word.startswith("--from") for word in words) for one in words]
    assert "src" in sources
    assert [one for one in sources if not (ROOT / one).exists()] == []


def test_the_image_runs_as_the_user_of_the_deployment() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    context = the("Deployment", "fairlead-controller")["spec"]["template"]["spec"]["securityContext"]
    assert user is not None
    assert (int(user[1]), int(user[2])) == (context["runAsUser"], context["runAsGroup"])


def drivers() -> dict[str, Any]:
    """The pod of drivers."""
    (daemonset,) = yaml.safe_load_all((DEPLOY / "manifests" / "node" / "20-drivers.yaml").read_text())
    found: dict[str, Any] = daemonset["spec"]["template"]["spec"]
    return found


def test_the_daemonset_uses_options_that_the_command_has() -> None:
    (container,) = drivers()["containers"]
    command, *options = container["args"]
    assert command == node.name
    known = {option: parameter for parameter in node.params for option in parameter.opts}
    assert {option.partition("=")[0] for option in options} <= known.keys()
    assert {one["name"] for one in container["env"]} == {known["--node-name"].envvar, known["--pod-uid"].envvar}


def test_the_daemonsets_folders_are_where_the_command_expects_them() -> None:
    spec = drivers()
    paths = {one["name"]: one["mountPath"] for one in spec["containers"][0]["volumeMounts"]}
    hosts = {one["name"]: one["hostPath"]["path"] for one in spec["volumes"] if "hostPath" in one}
    assert {name: paths[name] for name in hosts} == hosts
    defaults = {str(parameter.default) for parameter in node.params if parameter.name.endswith("_dir")}
    assert set(hosts.values()) == defaults


def test_drivers_have_the_documented_rights() -> None:
    text = " ".join((ROOT / "docs" / "driver-kit.md").read_text().split())
    (rights,) = re.findall(r"Rights: (.*?)\. ", text)
    documented = set()
    for verbs, resource in re.findall(r"([a-z:,` -]+?) on `?([a-z/]+)`?(?=;| with|$)", rights):
        names = re.findall(r"(?:associated-node:)?(?:get|list|watch|create|update|delete|patch)", verbs)
        documented |= {(resource, name) for name in names}
    objects_ = yaml.safe_load_all((DEPLOY / "manifests" / "node" / "10-rights.yaml").read_text())
    (role,) = [one for one in objects_ if one["kind"] == "ClusterRole"]
    granted = {(name, verb) for rule in role["rules"] for name in rule["resources"] for verb in rule["verbs"]}
    assert granted == documented


def pools() -> dict[str, Any]:
    """The Deployment that publishes pools."""
    (found,) = yaml.safe_load_all((DEPLOY / "manifests" / "pools" / "20-pools.yaml").read_text())
    deployment: dict[str, Any] = found
    return deployment


def test_what_publishes_pools_runs_once_without_rights_on_its_node() -> None:
    controller_ = the("Deployment", "fairlead-controller")["spec"]["template"]["spec"]
    spec = pools()["spec"]["template"]["spec"]
    assert (pools()["spec"]["replicas"], pools()["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert controller_["securityContext"].items() <= spec["securityContext"].items()
    (container,) = spec["containers"]
    assert container["securityContext"] == controller_["containers"][0]["securityContext"]
    assert not [one for one in spec["volumes"] if "hostPath" in one]
    command, *options = container["args"]
    known = {option: parameter for parameter in node.params for option in parameter.opts}
    assert command == node.name
    assert {option.partition("=")[0] for option in options} <= known.keys()
    assert [one["name"] for one in container["env"]] == [known["--node-name"].envvar]


def test_what_publishes_pools_has_the_documented_rights() -> None:
    text = (DEPLOY.parent / "docs" / "drivers" / "fabric.md").read_text().split("## Rights")[1].split("\n## ")[0]
    (rights,) = re.findall(r"`--shared-pools`: (.*?)\. ", " ".join(text.split()))
    documented = {
        (resource, verb.strip())
        for verbs, resource in re.findall(r"([a-z:,` -]+?) on `?([a-z/]+)`?(?=;| of|$)", rights)
        for verb in re.findall(r"arbitrary-node:patch|get|list|watch|create|update|delete|patch", verbs)
    }
    objects_ = yaml.safe_load_all((DEPLOY / "manifests" / "pools" / "10-rights.yaml").read_text())
    (role,) = [one for one in objects_ if one["kind"] == "ClusterRole"]
    assert {
        (name, verb) for rule in role["rules"] for name in rule["resources"] for verb in rule["verbs"]
    } == documented


def test_the_unit_of_the_dpu_runs_the_agent_with_options_that_it_takes(tmp_path: Path) -> None:
    text = (DEPLOY / "dpu" / "fairlead-dpu-agent.service").read_text()
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    service = unit["Service"]
    (given,) = re.findall(r'^OPTIONS="(.*)"$', _joined(DEPLOY / "dpu" / "dpu-agent.env"), re.MULTILINE)
    program, command, *options = service["ExecStart"].replace("$OPTIONS", given).split()
    assert program.endswith("/bin/fairlead")
    assert command == dpu_agent.name
    known = {option: parameter for parameter in dpu_agent.params for option in parameter.opts}
    assert {option.partition("=")[0] for option in options} <= known.keys()
    assert f"--state={known['--state'].default}" in options
    assert str(known["--state"].default).startswith(f"/var/lib/{service['StateDirectory']}/")
    assert str(known["--listen"].default).startswith(f"unix:/run/{service['RuntimeDirectory']}/")
    assert {"--tls-client", "--bridge"} <= {option.partition("=")[0] for option in options}
    if shutil.which("systemd-analyze"):
        # The program and the file are on the DPU only.
        here = text.replace(program, "/bin/true").replace("EnvironmentFile=", "EnvironmentFile=-")
        (tmp_path / "fairlead-dpu-agent.service").write_text(here)
        verify = ["systemd-analyze", "verify", "--recursive-errors=no", str(tmp_path / "fairlead-dpu-agent.service")]
        done = subprocess.run(verify, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


def _joined(path: Path) -> str:
    return path.read_text().replace("\\\n", " ")

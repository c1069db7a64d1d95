"""Renders the chart with its default values into deploy/manifests, one file for each of its templates.

    python deploy/render.py

Needs the `helm` program: on the PATH, or where `python -m kube build helm` puts it. tests/cluster/test_install.py holds
that what is there agrees with the chart. The namespace comes with the manifests, while Helm makes its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from kube import MissingProgramError, find_programs  # noqa: E402

NAMESPACE: Final = "fairlead-system"
FILES: Final = {
    "00-namespace": "namespace",
    "10-rights": "rights",
    "20-gate": "gate",
    "30-one-writer": "one-writer",
    "40-controller": "controller",
}
"""The manifests in the order in which `kubectl apply -f` of the folder takes them, and the chart's template of each."""
LOCK: Final = {
    "10-rights": "webhook-rights",
    "20-certificate": "webhook-certificate",
    "30-webhook": "webhook",
    "40-registration": "webhook-registration",
}
"""The same of the folder `webhook`, which is applied by those who want the lock."""
NODE: Final = {
    "10-rights": "node-rights",
    "20-drivers": "node",
}
"""The same of the folder `node`, for those who want drivers; with the values of `simulated-node.yaml`."""
NODE_VALUES: Final = HERE / "simulated-node.yaml"
POOLS: Final = {
    "10-rights": "pools-rights",
    "20-pools": "pools",
}
"""The same of the folder `pools`, for those who have devices on a fabric; with the values of `fabric-pools.yaml`."""
POOLS_VALUES: Final = HERE / "fabric-pools.yaml"
_HEADER: Final = "# Made from deploy/chart by deploy/render.py.\n"


def find_helm() -> Path:
    """The helm program.

    Raises:
        MissingProgramError: there is none.
    """
    found = shutil.which("helm")
    return Path(found) if found else find_programs(["helm"])["helm"]


def render(*options: str, template: str = "") -> str:
    """What the chart makes of its default values, changed by options such as `--set=replicas=1`, as YAML.

    Raises:
        MissingProgramError: there is no helm.
        subprocess.CalledProcessError: helm refuses; its `stderr` says why.
    """
    only = [f"--show-only=templates/{template}.yaml"] if template else []
    command = [str(find_helm()), "template", "fairlead", str(HERE / "chart"), f"--namespace={NAMESPACE}", *only]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout


def manifests() -> dict[str, str]:
    """The text of each file of deploy/manifests, by its path there, as the chart has it now."""
    made = {f"{name}.yaml": _file(template, "--set=namespace.create=true") for name, template in FILES.items()}
    lock = "webhook.enabled=true,webhook.certificate.source=cert-manager"
    made |= {f"webhook/{name}.yaml": _file(template, f"--set={lock}") for name, template in LOCK.items()}
    made |= {f"node/{name}.yaml": _file(template, f"--values={NODE_VALUES}") for name, template in NODE.items()}
    return made | {
        f"pools/{name}.yaml": _file(template, f"--values={POOLS_VALUES}") for name, template in POOLS.items()
    }


def _file(template: str, values: str) -> str:
    lines = render(values, template=template).splitlines()
    kept = [line for line in lines if not line.startswith("# Source:")]
    return _HEADER + "\n".join(_without_first_marker(kept)) + "\n"


def _without_first_marker(lines: Sequence[str]) -> Sequence[str]:
    return lines[1:] if lines[:1] == ["---"] else lines


def main() -> int:
    """Writes the files; exit status 0, or 1 when there is no helm or it fails."""
    try:
        made = manifests()
    except MissingProgramError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"Error: helm: {error.stderr.strip()}", file=sys.stderr)
        return 1
    for name, text in made.items():
        path = HERE / "manifests" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

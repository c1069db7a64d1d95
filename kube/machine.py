"""A machine for one node on this machine: processes, mounts and /run of its own, which end together as by a power cut.

Run as a script by `kube.node`, with a JSON object as its argument: `folder`, where the machine's files are; `boot_id`;
`cgroup`, the name below which kubelet makes cgroups. It writes a line `{"pid": P}`, the machine's first process as this
machine knows it, and from then on `guard` runs in there and answers on the same pipes.

Three processes: this one stays outside and tidies up; its child is process 1 of new process and mount namespaces and
reaps, for shims and containers become its children; its grandchild is the guard. Whatever ends any of the three, or
the starter, ends everything in there, for the kernel kills a process namespace with its first process; mounts go with
the last process that sees them. Cgroups are what no namespace owns: they are removed by name at the end. The folder is
removed if there is a file `remove` in it.

What a node writes outside of its folder would stay on this machine, so in there

* /run is empty at every start, as after a boot;
* /var is the one of this machine, and what is written to it is kept in the folder;
* boot id and those kernel settings that kubelet changes are files of the folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
PR_SET_PDEATHSIG = 1

CGROUPS = Path("/sys/fs/cgroup")
RANDOM = Path("/proc/sys/kernel/random/boot_id")
SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What kubelet would set where it is something else."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2).

    Raises:
        OSError: it is not possible.
    """
    if _LIBC.mount(source.encode(), bytes(target), kind.encode(), flags, options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: cannot mount {kind or source}", str(target))


def leave(namespaces: int) -> None:
    """unshare(2).

    Raises:
        OSError: it is not possible.
    """
    if _LIBC.unshare(namespaces):
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: cannot have namespaces of its own")


def hierarchies() -> list[Path]:
    """The roots of the cgroup hierarchies that kubelet may use: one in version 2, one a controller in version 1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [folder for folder in sorted(CGROUPS.iterdir()) if folder.is_dir() and not folder.is_symlink()]


def make_cgroups(name: str) -> None:
    """Makes a cgroup in every hierarchy.

    Raises:
        OSError: it is not possible.
    """
    for root in hierarchies():
        controllers = root / "cgroup.subtree_control"
        if root == CGROUPS:
            wanted = (root / "cgroup.controllers").read_text().split()
            controllers.write_text(" ".join(f"+{one}" for one in wanted))
        made = root / name
        made.mkdir(exist_ok=True)
        if root == CGROUPS:
            (made / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in wanted))
        for setting in ("cpuset.cpus", "cpuset.mems"):  # in version 1 an empty set takes no process
            if (made / setting).exists() and root != CGROUPS:
                (made / setting).write_text((root / setting).read_text())


def remove_cgroups(name: str) -> None:
    """Removes a cgroup and all below it in every hierarchy; nothing may run in them."""
    for root in hierarchies():
        for folder, _, _ in os.walk(root / name, topdown=False):
            try:
                os.rmdir(folder)
            except OSError as error:
                print(f"{folder} stays: {error.strerror}", file=sys.stderr)


def furnish(folder: Path, boot_id: str) -> None:
    """Mounts what is different in here.

    Raises:
        OSError: it is not possible.
    """
    mount("none", Path("/"), flags=MS_REC | MS_PRIVATE)
    mount("proc", Path("/proc"), "proc")
    mount("tmpfs", Path("/run"), "tmpfs", options="mode=755")
    upper, work = folder / "var", folder / "var.work"
    for each in (upper, work):
        each.mkdir(exist_ok=True)
    mount("overlay", Path("/var"), "overlay", options=f"lowerdir=/var,upperdir={upper},workdir={work}")
    Path("/run/lock").mkdir()
    for path, text in {RANDOM: boot_id, **{Path("/proc/sys") / key: value for key, value in SETTINGS.items()}}.items():
        file = folder / "kernel" / path.name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text + "\n")
        mount(str(file), path, flags=MS_BIND)


def first_process(folder: Path, boot_id: str, argv: list[str]) -> None:
    """Process 1: starts the guard, and reaps until the guard ends; never returns."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        leave(CLONE_NEWNS)
        furnish(folder, boot_id)
        guard = os.fork()
        if guard == 0:
            os.execv(argv[0], argv)
    except OSError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        os._exit(1)
    os.close(0)
    os.close(1)
    while os.wait()[0] != guard:
        pass
    os._exit(0)


def main() -> None:
    """Runs one machine until its guard ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the guard ends when its input does, and then this
    plan = json.loads(sys.argv[1])
    folder, cgroup = Path(plan["folder"]), plan["cgroup"]
    try:
        make_cgroups(cgroup)
        leave(CLONE_NEWPID)
    except OSError as error:
        remove_cgroups(cgroup)
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(1)
    first = os.fork()
    if first == 0:
        guard = Path(__file__).parent / "guard.py"
        first_process(folder, plan["boot_id"], [sys.executable, "-I", str(guard)])
    print(json.dumps({"pid": first}), flush=True)
    os.close(0)
    os.close(1)
    os.waitpid(first, 0)
    remove_cgroups(cgroup)
    if (folder / "remove").exists():
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

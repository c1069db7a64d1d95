"""Power machines as trees of files: a Power10 partition, one without NX, and a PowerNV machine with two chips.

What the kernel's and skiboot's documentation says of paths and forms is kept; figures follow from the size of the
partition (20 default credits a processor, as IBM's own tests have it). That a partition knows its chips
(`physical_package_id` 0 and 1 rather than -1) is an assumption, and the other case is one argument away.
"""

from __future__ import annotations

from pathlib import Path

from tests.hardware.tree import Tree

CREDITS = "/sys/devices/virtual/misc/vas/vas0/gzip"
LIMITS = "/sys/devices/vio/ibm,compression-v1/nx_gzip_caps"
NODE = "/dev/crypto/nx-gzip"
THREADS = 8
SOFTWARE = [("sha256", "sha256-generic"), ("gcm(aes)", "p10-aes-gcm"), ("842", "842-generic")]
NX_842 = [("842", "842-nx")]
NX_CRYPTO = [
    (name, f"{name.replace('(', '-').replace(')', '')}-nx")
    for name in ("cbc(aes)", "ctr(aes)", "ecb(aes)", "gcm(aes)", "rfc4106(gcm(aes))", "sha256", "sha512", "xcbc(aes)")
]


def partition(root: Path, *, cores: int = 16, default: int = 320, qos: int = 32, chips: bool = True) -> Tree:
    """A partition under PowerVM with dedicated Power10 processors on two chips; no NX where `default` is negative."""
    tree = Tree(root)
    processors(tree, cores, [0, 1], [0, 1] if chips else [-1, -1], "POWER10 (architected), altivec supported")
    tree.file("/sys/devices/vio/ibm,sym-encryption-v1/name", "ibm,sym-encryption")
    crypto(tree, SOFTWARE)
    if default < 0:
        return tree
    tree.file("/sys/devices/vio/ibm,compression-v1/name", "ibm,compression")
    for name, value in {"min_compress_len": 0, "min_decompress_len": 0, "req_max_processed_len": 1048576}.items():
        tree.file(f"{LIMITS}/{name}", value)
    for kind, total in {"default": default, "qos": qos}.items():
        credit(tree, kind, total, 0)
    tree.file(f"{CREDITS}/qos_capabilities/update_total_credits")
    tree.file(NODE)
    crypto(tree, SOFTWARE + NX_842)
    return tree


def powernv(root: Path) -> Tree:
    """A machine of its own with two POWER9 chips, which are chips 0 and 8, as are their NUMA nodes."""
    tree = Tree(root)
    processors(tree, 16, [0, 8], [0, 8], "POWER9, altivec supported")
    tree.link("/proc/device-tree", "/sys/firmware/devicetree/base")
    for vas, chip in ((0, 0), (1, 8)):
        base = "/sys/firmware/devicetree/base"
        switch = f"{base}/vas@60191{'0' if chip == 0 else '8'}0000000"
        tree.file(f"{switch}/ibm,vas-id", vas.to_bytes(4, "big"))
        tree.file(f"{switch}/ibm,chip-id", chip.to_bytes(4, "big"))
        bus = f"{base}/xscom@603fc0000000{chip}"
        tree.file(f"{bus}/ibm,chip-id", chip.to_bytes(4, "big"))
        for fifo in ("842-high", "842-normal", "gzip-high", "gzip-normal"):
            tree.file(f"{bus}/nx@2010000/ibm,{fifo}-fifo/lpid", (0xFFF).to_bytes(4, "big"))
    tree.file(NODE)
    crypto(tree, SOFTWARE + NX_842)
    return tree


def credit(tree: Tree, kind: str, total: object, used: object) -> None:
    """The credits of a class are now these, as after a DLPAR operation."""
    tree.file(f"{CREDITS}/{kind}_capabilities/nr_total_credits", str(total))
    tree.file(f"{CREDITS}/{kind}_capabilities/nr_used_credits", str(used))


def crypto(tree: Tree, algorithms: list[tuple[str, str]]) -> None:
    """What the kernel's crypto API has: names and drivers."""
    entries = [
        f"name         : {name}\ndriver       : {driver}\nmodule       : kernel\n" for name, driver in algorithms
    ]
    tree.file("/proc/crypto", "\n".join(entries))


def processors(tree: Tree, cores: int, nodes: list[int], chips: list[int], model: str) -> None:
    """Processors, half of them on each of two NUMA nodes and chips."""
    count = cores * THREADS
    halves = [range(count // 2), range(count // 2, count)]
    tree.file("/sys/devices/system/cpu/online", f"0-{count - 1}")
    tree.file("/sys/devices/system/node/online", ",".join(map(str, nodes)))
    for node, chip, cpus in zip(nodes, chips, halves, strict=True):
        tree.file(f"/sys/devices/system/node/node{node}/cpulist", f"{cpus[0]}-{cpus[-1]}")
        for cpu in cpus:
            tree.file(f"/sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id", chip)
    tree.file("/proc/cpuinfo", f"processor\t: 0\ncpu\t\t: {model}\nclock\t\t: 4000.000000MHz\n\nplatform\t: pSeries")

"""What must be known to undo the preparing of a device: a file each, written before the first change.

`STATE/CLAIM_UID/DEVICE[@SHARE].kept` for the driver, `.order` beside it for the hook, and `.order.where`, by the hook.
A file of another boot tells of changes that are gone: the kernel has started anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from fairlead.driver import PrepareError
from fairlead.drivers.network.discovery import Port
from fairlead.drivers.network.door import Function
from fairlead.drivers.network.hook.work import read_order


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one device was before it was prepared, and what was done."""

    port: Port
    """As it was; for a share of a pool, the function that was picked."""
    boot: str = ""
    function: Function | None = None
    """How the physical function had set it up; None where that was not changed."""
    changed: Function | None = None
    """How it was to be set up instead."""
    driver: str | None = None
    """The kernel driver that was ordered before; None where no other was bound."""
    child: bool = False
    """The pod gets an interface that was made for it."""


class Keep:
    """The files of one driver."""

    def __init__(self, folder: Path, boot: str) -> None:
        """Args:
        folder: STATE; made when it is needed.
        boot: which start of the machine this is; empty where the kernel does not say.
        """
        self.folder = folder
        self.boot = boot

    def order(self, uid: str, device: str, share: str | None) -> Path:
        """Where the hook's order is."""
        return self.folder / uid / f"{device}{f'@{share}' if share else ''}.order"

    def write(self, uid: str, device: str, share: str | None, kept: Kept) -> None:
        """Keeps; PrepareError where the disk refuses."""
        path = self._path(uid, device, share)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            half = path.with_name(f".{path.name}")
            half.write_bytes(msgspec.json.encode(kept))
            half.replace(path)
        except OSError as error:
            raise PrepareError(f"{device}: {error.filename}: {error.strerror}") from None

    def read(self, uid: str, device: str, share: str | None) -> Kept | None:
        """What was kept; None where nothing was done. PrepareError where the file is damaged."""
        path = self._path(uid, device, share)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Kept)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PrepareError(f"{device}: {path}: {error.strerror}") from None
        except msgspec.MsgspecError as error:
            raise PrepareError(
                f"{device}: {path}: was changed or damaged: {error}; put the interface back by hand, remove the file"
            ) from None

    def outlived(self, kept: Kept) -> bool:
        """Whether the machine was started anew since, so that nothing is left to undo."""
        return bool(kept.boot and self.boot) and kept.boot != self.boot

    def forget(self, uid: str, device: str, share: str | None) -> None:
        """Removes all files of a device; the one that tells of it goes last."""
        order = self.order(uid, device, share)
        for path in (Path(f"{order}.where"), order, self._path(uid, device, share)):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            order.parent.rmdir()

    def all(self) -> Iterator[Kept]:
        """What is kept of this boot; damaged files are passed over."""
        for path in sorted(self.folder.glob("*/*.kept")):
            with suppress(OSError, msgspec.MsgspecError):
                kept = msgspec.json.decode(path.read_bytes(), type=Kept)
                if not self.outlived(kept):
                    yield kept

    def addresses(self) -> set[str]:
        """The addresses, without prefixes, of all orders."""
        found: set[str] = set()
        for path in self.folder.glob("*/*.order"):
            with suppress(OSError, ValueError, TypeError):
                found |= {one.partition("/")[0] for one in read_order(path).addresses}
        return found

    def _path(self, uid: str, device: str, share: str | None) -> Path:
        order = self.order(uid, device, share)
        return order.with_name(order.name.removesuffix(".order") + ".kept")

"""What could not be read during a discovery: told, while everything else goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from fairlead.hardware.doors import HardwareError


class Problems(list[str]):
    """One line for each thing that could not be read, with what it belongs to."""

    @contextmanager
    def of(self, subject: str) -> Iterator[None]:
        """Notes what goes wrong inside, and goes on behind it.

        Args:
            subject: what is being read, a device for instance: `0000:3b:00.0`.
        """
        try:
            yield
        except HardwareError as error:
            self.append(f"{subject}: {error}")
        except OSError as error:
            reason = error.strerror or os.strerror(error.errno or 0)
            self.append(f"{subject}: {error.filename}: {reason}" if error.filename else f"{subject}: {reason}")

"""Which nodes changed since somebody last looked, in whatever way: devices, what is taken, pods, amounts, labels."""

from __future__ import annotations

from fairlead.placement.state import ClusterState


class Reader:
    """How far somebody has read the changes of a state."""

    __slots__ = ("_marks", "_state")

    def __init__(self, state: ClusterState) -> None:
        """Begins with changes to come."""
        self._state = state
        self._marks = self._now()

    def changed(self) -> list[str] | None:
        """The nodes that changed since the last call, perhaps several times each; None where any node may have."""
        if (now := self._now()) == self._marks:
            return []
        devices, moved, laid_out = self._marks
        self._marks = now
        state = self._state
        found: list[str] = []
        for names in (state.inventory.changes(devices)[1], state.moved.since(moved), state.laid_out.since(laid_out)):
            if names is None:
                return None
            found += names
        return found

    def _now(self) -> tuple[int, int, int]:
        state = self._state
        return state.inventory.mark, state.moved.mark, state.laid_out.mark

"""The roots of the exceptions that the protocol knows; docs/architecture.md draws the tree."""

from __future__ import annotations


class DescribedError(Exception):
    """An error whose docstring is its message, where it is raised without one."""

    def __str__(self) -> str:
        return super().__str__() or " ".join((type(self).__doc__ or "").split())


class ProtocolError(DescribedError):
    """The other side said what the protocol does not allow, or what cannot be read."""

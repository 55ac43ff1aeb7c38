"""The roots of the exceptions that the protocol knows; docs/architecture.md draws the tree."""

from __future__ import annotations


class DescribedError(Exception):
    """An error whose docstring, up to its first blank line, is its message if it has no other."""

    def __str__(self) -> str:
        about, _, _ = (type(self).__doc__ or "").partition("\n\n")
        return super().__str__() or " ".join(about.split())


class ProtocolError(DescribedError):
    """The other side said what the protocol does not allow, or what cannot be read."""


class AckedUnsent(ProtocolError):
    """The device acknowledged a sequence that it was never sent."""

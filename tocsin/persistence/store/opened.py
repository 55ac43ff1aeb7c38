"""The facts about a database that an adapter of the store knows once it is open."""

from __future__ import annotations


class Opened:
    """The part of a `Store` that is the same for every database; an adapter inherits it."""

    def __init__(self) -> None:
        self._epoch: str | None = None
        self._secret: str | None = None
        self._statements_run = 0

    @property
    def epoch(self) -> str:
        """The name of the logs. Raises `RuntimeError` before the store was open once."""
        if self._epoch is None:
            raise RuntimeError("the epoch is known once the store is open")
        return self._epoch

    @property
    def secret(self) -> str:
        """The secret that all nodes share. Raises `RuntimeError` before the store was open once."""
        if self._secret is None:
            raise RuntimeError("the secret is known once the store is open")
        return self._secret

    @property
    def statements_run(self) -> int:
        """Statements since the adapter was made."""
        return self._statements_run

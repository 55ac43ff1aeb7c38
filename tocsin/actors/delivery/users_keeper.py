"""Keeps the actors of the users who are online; each is given what all of them have around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Never

from tocsin.actors.delivery.surroundings import Company
from tocsin.actors.delivery.user import UserActor
from tocsin.actors.directory import DirectoryKeeper
from tocsin.actors.runtime import Context


class UsersKeeper(DirectoryKeeper):
    """The keeper of the users' directory; otherwise as `DirectoryKeeper`."""

    def __init__(self, company: Company, jitter: Callable[[], float], *, grace: float) -> None:
        super().__init__(company.users, jitter, grace=grace)
        self._company = company

    async def run(self, context: Context[Never]) -> None:
        """Keep the users' actors until told to stop."""
        company = self._company
        with company.users.made_by(lambda user: UserActor(user, company)):
            await super().run(context)

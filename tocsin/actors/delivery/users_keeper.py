"""The keeper of the users' directory: it hands every user's actor the surroundings of them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Never

from tocsin.actors.delivery.clock import Clock
from tocsin.actors.delivery.surroundings import Company
from tocsin.actors.delivery.user import UserActor
from tocsin.actors.directory import DirectoryKeeper
from tocsin.actors.runtime.supervisor import Context


class UsersKeeper(DirectoryKeeper):
    """Supervises the users' actors, which share *company* and a clock. See `DirectoryKeeper`."""

    def __init__(self, company: Company, jitter: Callable[[], float], *, grace: float) -> None:
        super().__init__(company.users, jitter, grace=grace)
        self._company = company

    async def run(self, context: Context[Never]) -> None:
        """Supervise the users' actors until told to stop. Cancelling abandons them."""
        company, clock = self._company, Clock(self._company.world)
        with company.users.made_by(lambda user: UserActor(user, company, clock)):
            await super().run(context)

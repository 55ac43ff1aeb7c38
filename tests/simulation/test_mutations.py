"""Each seeded bug is found within a few short runs, so the checks are not blind."""

from __future__ import annotations

import pytest

from simulation.bugs.mutants import ALL
from simulation.bugs.mutation import Mutation
from simulation.bugs.mutations import hunt


@pytest.mark.parametrize("mutation", ALL, ids=[mutation.name for mutation in ALL])
def test_the_checks_find(mutation: Mutation):
    found = hunt(mutation, mutation.within)

    assert found.caught, f"nothing was violated in {mutation.within} runs"


def test_a_mutation_is_gone_when_its_run_is_over():
    before = [getattr(mutation.owner, mutation.attribute) for mutation in ALL]
    for mutation in ALL:
        with mutation.applied():
            assert getattr(mutation.owner, mutation.attribute) is not before[ALL.index(mutation)]
    assert [getattr(mutation.owner, mutation.attribute) for mutation in ALL] == before

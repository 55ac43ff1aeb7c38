"""Seals: what fits is of this cluster, for this purpose, in this place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.cluster.seals import SEAL_BYTES, KeyUnknown, Purpose, Seals


def seals(secret: str = "secret", place: str = "tocsin:0:") -> Seals:
    made = Seals(place)
    made.learn(secret)
    return made


def test_a_seal_fits_in_every_process_that_knows_the_secret():
    seal = seals()[Purpose.BUS].of(b"c", b"thing")
    assert len(seal) == SEAL_BYTES
    assert seals()[Purpose.BUS].fits(seal, b"c", b"thing")


@pytest.mark.parametrize(
    "other",
    [
        seals("another")[Purpose.BUS],
        seals(place="tocsin:1:")[Purpose.BUS],
        seals()[Purpose.SPOOL],
    ],
)
def test_a_seal_is_of_one_secret_place_and_purpose(other):
    assert not other.fits(seals()[Purpose.BUS].of(b"c", b"thing"), b"c", b"thing")


@given(st.binary(max_size=8), st.binary(max_size=8), st.binary(max_size=8), st.binary(max_size=8))
def test_a_seal_is_of_one_context_and_one_thing(context, thing, other_context, other_thing):
    bus = seals()[Purpose.BUS]
    fits = bus.fits(bus.of(context, thing), other_context, other_thing)
    assert fits is ((context, thing) == (other_context, other_thing))


def test_without_the_secret_nothing_can_be_sealed_or_fits():
    unknown = Seals()
    assert not unknown.known
    with pytest.raises(KeyUnknown):
        unknown[Purpose.BUS].of(b"", b"")
    with pytest.raises(KeyUnknown):
        unknown[Purpose.BUS].fits(b"", b"", b"")


def test_the_first_secret_holds():
    twice = seals()
    twice.learn("another")
    assert twice[Purpose.CLAIM].of(b"", b"") == seals()[Purpose.CLAIM].of(b"", b"")

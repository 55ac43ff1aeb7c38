"""Lines that others could make us write: so many in a time, and how many were left out."""

from tocsin.server.admission.seldom import Seldom


def test_so_many_in_a_period_and_then_none():
    seldom = Seldom(2, 10.0)
    assert [seldom.due(now) for now in (5.0, 6.0, 7.0, 14.9)] == [0, 0, None, None]


def test_the_next_one_says_how_many_were_left_out():
    seldom = Seldom(1, 10.0)
    assert [seldom.due(now) for now in (0.0, 1.0, 2.0, 10.0, 11.0, 20.0, 30.0)] == [
        *(0, None, None, 2, None, 1, 0)
    ]

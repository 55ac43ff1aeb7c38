"""Parameters and thresholds: defaults are the promises, and nothing unknown is passed over."""

from __future__ import annotations

import pytest

from tocsin.load.plan import SCENARIOS, Thresholds, changed, read_thresholds
from tocsin.load.target import is_this_machine, parse_target


def test_by_default_nothing_may_be_lost_repeated_or_turned_around():
    assert read_thresholds("") == Thresholds(lost=0, repeated=0, disordered=0, refused=0)


def test_thresholds_in_toml():
    assert read_thresholds("lost = 2\np99 = 0.05") == Thresholds(lost=2, p99=0.05)


@pytest.mark.parametrize(
    "text", ["lost =", "losses = 1", 'lost = "few"', "lost = -1", "lost = true"]
)
def test_thresholds_that_mean_nothing_are_refused(text):
    with pytest.raises(ValueError, match=r"is no TOML|has "):
        read_thresholds(text)


def test_an_option_replaces_the_scenario_s_own():
    plan = SCENARIOS["fanout"][1]
    assert changed(plan, {"devices": 10, "posts": None}).posts == plan.posts
    assert changed(plan, {"devices": 10}).recipients == 10, "no more recipients than users"


def test_scenarios_bear_their_names():
    assert all(plan.scenario == name for name, (_, plan) in SCENARIOS.items())


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080, False)),
        ("https://notify.example.com", ("notify.example.com", 443, True)),
        ("http://[::1]:81/", ("::1", 81, False)),
    ],
)
def test_addresses(url, found):
    assert parse_target(url) == found


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ws://host", "http://"])
def test_an_address_of_no_server_is_refused(url):
    with pytest.raises(ValueError, match="no address"):
        parse_target(url)


def test_other_machines_are_others():
    assert all(map(is_this_machine, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_this_machine, ("example.com", "10.0.0.1", "localhost.example.com")))

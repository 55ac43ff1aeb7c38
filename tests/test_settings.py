"""The record of settings: contract names and defaults, bounds and contradictions."""

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from tocsin.settings import SETTINGS, Settings, kinds
from tocsin.settings.kinds import read_networks
from tocsin.settings.setting import SettingsError

SECRET = "s" * 32

# protocol.md §6: names and defaults that others rely on.
CONTRACT = {
    "host": ("127.0.0.1",),
    "port": 8080,
    "data": Path("tocsin-data"),
    "database": None,
    "redis": None,
    "workers": 1,
    "origins": (),
    "jwt_secret": None,
    "jwt_public_key": None,
    "jwks_url": None,
    "jwt_audience": None,
    "user_claim": "sub",
    "forwarded_from": (),
    "jwt_issuer": None,
    "resend_delay": 10,
    "resend_limit": 5,
    "resend_delay_max": 60,
    "delivery_attempts_max": 20,
    "window": 64,
    "hello_timeout": 10,
    "heartbeat": 25,
    "ticket_lifetime": 30,
    "outbound_bytes_max": 1_048_576,
    "drain_time": 20,
    "retention": 7_776_000,
    "log_format": "console",
    "metrics_port": None,
}
BOUNDED = [known for known in SETTINGS if known.high is not None]


def wrong(**values):
    """The settings that a record with these values is refused for, and the text of the refusal."""
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    return [problem.settings[0] for problem in caught.value.problems], str(caught.value)


@pytest.mark.parametrize("name", CONTRACT)
def test_a_contract_setting_has_its_contract_default(name):
    assert getattr(Settings(), name) == CONTRACT[name]


def test_every_setting_says_what_it_is_for():
    assert all(known.help.endswith(".") for known in SETTINGS)


def test_every_number_has_bounds():
    numbers = (kinds.COUNT, kinds.DURATION, kinds.SIZE)
    assert [known.name for known in SETTINGS if known.kind in numbers] == [
        known.name for known in BOUNDED
    ]


def test_settings_cannot_be_changed_once_made():
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("known", BOUNDED, ids=lambda known: known.name)
def test_a_value_below_the_least_is_refused(known):
    names, text = wrong(**{known.name: known.low - 1})
    assert known.name in names
    assert f"below the least, {known.show(known.low)}" in text


@pytest.mark.parametrize("known", BOUNDED, ids=lambda known: known.name)
def test_a_value_above_the_most_is_refused(known):
    names, text = wrong(**{known.name: known.high + 1})
    assert known.name in names
    assert known.remedy in text


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_duration_that_is_not_finite_is_refused(value):
    names, text = wrong(heartbeat=value)
    assert names == ["heartbeat"]
    assert "not finite" in text


def test_all_problems_are_listed_at_once_with_what_to_do():
    names, text = wrong(port=-1, window=0, jwt_secret="short", host=("0.0.0.0",))
    assert names == ["port", "window", "jwt_secret"]
    assert text.startswith("3 problems")
    assert text.count("do:") == 3


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"store_timeout": 31.0}, "store_timeout"),
        ({"peer_body_bytes_max": (16 << 20) - 1}, "peer_body_bytes_max"),
        (
            {
                "credential_body_bytes_max": 32 << 20,
                "body_bytes_max": 1 << 25 | 1,
                "peer_body_bytes_max": 1 << 26,
            },
            "credential_body_bytes_max",
        ),
        ({"port": 9000, "metrics_port": 9000}, "metrics_port"),
        (
            {"jwt_public_key": "PEM", "jwks_url": "https://id.example", "jwt_audience": "app"},
            "jwt_public_key",
        ),
        ({"jwks_url": "https://id.example"}, "jwks_url"),
        ({"jwt_secret": "s" * 31, "host": ("0.0.0.0",)}, "jwt_secret"),
        ({"jwt_secret": "s" * 31, "host": ("127.0.0.1", "::")}, "jwt_secret"),
        ({"jwt_secret": "s" * 31, "forwarded_from": read_networks("127.0.0.1")}, "jwt_secret"),
        ({"jwt_secret": "s" * 31, "origins": ("https://app.example",)}, "jwt_secret"),
        ({"jwt_secret": "s" * 31, "origins": ("chrome-extension://abc",)}, "jwt_secret"),
        ({"node": "two words"}, "node"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values, name):
    assert wrong(**values)[0] == [name]


@pytest.mark.parametrize(
    "around",
    [
        {},
        {"host": ("127.0.0.1", "::1", "localhost")},
        {"origins": ("http://localhost:3000", "https://127.0.0.1:5173", "tauri://localhost")},
    ],
)
def test_a_short_secret_may_serve_this_machine(around):
    assert Settings(jwt_secret="s", **around).is_local


def test_only_who_says_so_takes_tokens_for_any_audience():
    assert Settings().audience is None
    assert (
        Settings(jwks_url="https://id.example", jwt_audience=kinds.Explicit.NONE).audience is None
    )
    assert Settings(jwks_url="https://id.example", jwt_audience="app").audience == "app"


def test_two_ports_chosen_by_the_system_are_no_contradiction():
    assert Settings(port=0, metrics_port=0).metrics_port == 0


def test_one_address_may_have_a_quarter_of_the_connections_unless_something_else_is_said():
    assert Settings().peer_connections == 5000
    assert Settings(connections_max=2).peer_connections == 1
    assert Settings(peer_connections_max=7).peer_connections == 7


CLUSTER: dict[str, Any] = {"redis": "redis://cache", "database": "postgres://db/tocsin"}


@pytest.mark.parametrize("missing", ["redis", "database"])
def test_workers_need_a_store_that_they_share_and_a_redis(missing):
    names, text = wrong(**{"workers": 2, **CLUSTER, missing: None})
    assert "workers" in names
    assert missing in text


def test_a_redis_does_not_make_a_cluster_of_a_file():
    assert wrong(redis="redis://cache")[0] == ["redis"]


def test_each_worker_has_a_metrics_port_and_none_of_them_is_the_port():
    assert Settings(**CLUSTER, workers=4, port=9004, metrics_port=9000).workers == 4
    assert "metrics_port" in wrong(**CLUSTER, workers=4, port=9003, metrics_port=9000)[0]
    assert "metrics_port" in wrong(**CLUSTER, workers=4, port=1, metrics_port=65534)[0]


def test_a_node_of_a_cluster_waits_for_the_balancer_and_never_long():
    assert Settings().drain_notice_time == 0
    assert Settings(**CLUSTER).drain_notice_time == 2
    assert Settings(**CLUSTER, drain_time=4).drain_notice_time == 1
    assert Settings(drain_notice=3).drain_notice_time == 3


def test_secrets_are_in_no_repr():
    settings = Settings(jwt_secret=SECRET, database="postgres://tocsin:hunter2@db/tocsin")
    assert SECRET not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_the_default_database_is_a_file_in_the_data_directory():
    settings = Settings(data=Path("/var/lib/tocsin"))
    assert settings.database_url == "sqlite:////var/lib/tocsin/tocsin.db"
    assert settings.sqlite_path == Path("/var/lib/tocsin/tocsin.db")


def test_a_relative_data_directory_gives_a_relative_file():
    assert Settings().sqlite_path == Path("tocsin-data/tocsin.db")


def test_postgres_has_no_sqlite_file():
    settings = Settings(database="postgres://db/tocsin")
    assert settings.database_url == "postgres://db/tocsin"
    assert settings.sqlite_path is None


@pytest.mark.parametrize("name", ["jwt_secret", "jwt_public_key", "jwks_url"])
def test_any_way_to_verify_tokens_counts_as_jwt_set_up(name):
    given: dict[str, Any] = {name: SECRET, "jwt_audience": "app"}
    assert Settings(**given).has_jwt
    assert not Settings().has_jwt


def test_a_node_without_a_name_is_called_after_its_host_and_some_chance():
    named = Settings().named("my host.local", lambda count: b"\xab" * count)
    assert named.node == "my-host.local-abababab"


def test_a_node_with_a_name_keeps_it():
    assert Settings(node="a").named("host", bytes).node == "a"

"""Addresses as providers write them: each option is honoured, or refused with a remedy."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import quote

import pytest
from asyncpg import connect_utils

from tocsin.persistence.postgres.store import _settings
from tocsin.settings.kinds import read_database
from tocsin.settings.postgres_address import SESSION_SETTINGS, parse_postgres, show_postgres

BASE = "postgresql://ann:p%40ss@db.example:6543/tocsin"


def as_the_driver_reads(dsn):
    parse: Any = connect_utils._parse_connect_arguments  # type: ignore[attr-defined]
    hosts, params, _ = parse(
        **dict.fromkeys(("host", "port", "user", "password", "passfile", "database", "ssl")),
        **dict.fromkeys(("service", "servicefile", "direct_tls", "server_settings")),
        **dict.fromkeys(("target_session_attrs", "krbsrvname", "gsslib", "command_timeout")),
        dsn=dsn,
        statement_cache_size=100,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
    )
    return hosts, params


@pytest.mark.parametrize(
    ("written", "hosts"),
    [
        (BASE, [("db.example", 6543)]),
        ("postgres://u:p@db/d", [("db", 5432)]),
        ("postgres://u:p@[::1]:6000/d", [("::1", 6000)]),
        ("postgres://u:p@db/d\n", [("db", 5432)]),
        ("postgres://u:p@a:1,b,[fe80::1]:3/d", [("a", 1), ("b", 5432), ("fe80::1", 3)]),
        ("postgres://u:p/d?host=a,b&port=1,2", [("a", 1), ("b", 2)]),
        ("postgres://u:p/d?host=::1", [("::1", 5432)]),
        ("postgres://u:p@a,b/d?port=7", [("a", 7), ("b", 7)]),
        ("postgres://u:p/d?host=/cloudsql/a:b:c", ["/cloudsql/a:b:c/.s.PGSQL.5432"]),
        ("postgres://u:p@%2Frun%2Fpg/d", ["/run/pg/.s.PGSQL.5432"]),
    ],
)
def test_the_driver_is_told_which_hosts(written, hosts):
    assert as_the_driver_reads(parse_postgres(written).dsn)[0] == hosts


@pytest.mark.parametrize("password", ["p@ss", "a+b c", "%41", "ü&=#?/:", "'\"\\"])
def test_the_driver_is_told_user_password_and_database(password):
    dsn = f"postgres://{quote('ann@host', safe='')}"
    dsn += f":{quote(password, safe='')}@db/my%20data"
    params = as_the_driver_reads(parse_postgres(dsn).dsn)[1]
    assert (params.user, params.password, params.database) == ("ann@host", password, "my data")


def test_an_option_goes_before_the_address():
    dsn = parse_postgres("postgres://a:b@db/d?user=u&password=p%2Bw&dbname=x").dsn
    params = as_the_driver_reads(dsn)[1]
    assert (params.user, params.password, params.database) == ("u", "p+w", "x")


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_each_sslmode_is_the_drivers(mode):
    params = as_the_driver_reads(parse_postgres(f"{BASE}?sslmode={mode}").dsn)[1]
    assert params.sslmode.name == mode


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_mode_that_verifies_takes_its_authority_along(mode, tmp_path):
    trusted = ssl.get_default_verify_paths().openssl_cafile
    written = f"{BASE}?sslmode={mode}&sslrootcert={trusted}"
    params = as_the_driver_reads(parse_postgres(written).dsn)[1]
    assert params.ssl.verify_mode is ssl.CERT_REQUIRED
    assert params.ssl.check_hostname is (mode == "verify-full")


def test_the_authorities_of_the_system_verify_the_host_as_well():
    params = as_the_driver_reads(parse_postgres(f"{BASE}?sslrootcert=system").dsn)[1]
    assert params.ssl.check_hostname
    assert params.ssl.verify_mode is ssl.CERT_REQUIRED


def test_the_options_that_providers_add_are_honoured():
    address = parse_postgres(
        f"{BASE}?sslmode=require&channel_binding=prefer&gssencmode=disable&connect_timeout=15"
        "&keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=2"
        "&tcp_user_timeout=7500&application_name=bell&client_encoding=UTF8"
        "&options=-c%20search_path%3Dbell%20--work_mem=8MB%20endpoint%3Dep-cool-1"
    )
    assert address.settings == {
        "application_name": "bell",
        "search_path": "bell",
        "work_mem": "8MB",
        "options": "endpoint=ep-cool-1",
    }
    assert (address.connect_timeout, address.tcp_user_timeout) == (15.0, 7.5)
    assert (address.keepalives, address.keepalives_idle) == (True, 30)
    assert (address.keepalives_interval, address.keepalives_count) == (5, 2)
    assert as_the_driver_reads(address.dsn)[1].server_settings is None


def test_a_space_within_a_setting_is_escaped():
    address = parse_postgres(f"{BASE}?options=-c%20search_path%3Da%5C%2C%5C%20b")
    assert address.settings["search_path"] == "a, b"


def test_of_several_hosts_the_one_that_can_be_written_to_is_wanted():
    assert "target_session_attrs=read-write" in parse_postgres("postgres://a,b/d").dsn
    wants = parse_postgres("postgres://a,b/d?target_session_attrs=primary").dsn
    assert as_the_driver_reads(wants)[1].target_session_attrs.value == "primary"
    assert "target_session_attrs" not in parse_postgres("postgres://a/d").dsn


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("channel_binding=require", "channel_binding=prefer, and sslmode=verify-full"),
        ("gssencmode=require", "sslmode to encrypt"),
        ("target_session_attrs=standby", "say read-write or primary"),
        ("target_session_attrs=prefer-standby", "say read-write or primary"),
        ("target_session_attrs=read-only", "say read-write or primary"),
        ("sslmode=on", "none of disable, allow, prefer, require, verify-ca, verify-full"),
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "'/nowhere/ca.pem', which cannot be"),
        ("sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
        ("sslnegotiation=direct", "needs sslmode=require"),
        ("client_encoding=LATIN1", "it is UTF8"),
        ("connect_timeout=soon", "connect_timeout that is no whole number"),
        ("keepalives_idle=1.5", "keepalives_idle that is no whole number"),
        ("options=-c%20statement_timeout%3D5", "sets statement_timeout, which Tocsin sets"),
        ("options=-c", "not -c name=value"),
        ("pgbouncer=true", "'pgbouncer', which Tocsin does not know: leave it out"),
        ("statement_timeout=5", "goes into options=-c%20name%3Dvalue"),
        ("hostaddr=10.0.0.1", "in the place of the host"),
        ("service=main", "write the address out"),
        ("load_balance_hosts=random", "in their order"),
        ("require_auth=scram-sha-256", "pg_hba.conf"),
        ("replication=database", "leave it out"),
        ("sslcompression=1", "leave it out"),
        ("port=70000", "is not a well-formed address|port 70000"),
        ("sslmode", "'sslmode' without a value"),
    ],
)
def test_an_option_that_cannot_be_had_is_refused_with_a_remedy(option, says):
    with pytest.raises(ValueError, match=says):
        read_database(f"postgres://u:hunter2@db/d?{option}")


def test_several_hosts_are_a_well_formed_address_and_shown_without_the_password():
    written = "postgres://u:hunter2@a:1,b:2/d?password=hunter3"
    assert read_database(written) == written
    assert show_postgres(written) == "postgres://********@a:1,b:2/d"


def test_the_settings_that_are_ours_are_those_that_an_address_may_not_set():
    assert set(_settings(10)) - {"application_name"} <= SESSION_SETTINGS

"""How values of settings are written: what is read, what is refused, and how it is shown."""

import ipaddress
import re

import pytest

from tocsin.settings import kinds, service_urls


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90d", 7_776_000),
        ("24h", 86_400),
        ("5m", 300),
        ("10s", 10),
        ("500ms", 0.5),
        ("550ms", 0.55),
        (" 1.5 s ", 1.5),
        ("10", 10),
        (10, 10),
        (0.05, 0.05),
    ],
)
def test_durations_are_read_in_every_unit(written, seconds):
    assert kinds.read_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    ["", "s", "10 sec", "1e3", "inf", "nan", float("inf"), True, "\u0661s", [10], "9" * 400],
)
def test_a_text_that_is_no_duration_is_refused(written):
    with pytest.raises(ValueError, match="not a duration"):
        kinds.read_duration(written)


@pytest.mark.parametrize("seconds", [0, 0.01, 0.05, 0.0005, 1.5, 10, 60, 90, 86_400, 7_776_000])
def test_a_shown_duration_reads_back_the_same(seconds):
    assert kinds.read_duration(kinds.show_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("written", "size"),
    [("1MiB", 1 << 20), ("64KiB", 65_536), ("1GiB", 1 << 30), ("12B", 12), ("12", 12), (12, 12)],
)
def test_sizes_are_read_in_every_unit(written, size):
    assert kinds.read_size(written) == size


@pytest.mark.parametrize("written", ["", "1MB", "1.5MiB", "MiB", True, 1.0, "1 mib"])
def test_a_text_that_is_no_size_is_refused(written):
    with pytest.raises(ValueError, match="not a size"):
        kinds.read_size(written)


@pytest.mark.parametrize("size", [0, 1, 1000, 1024, 1 << 20, 3 << 30])
def test_a_shown_size_reads_back_the_same(size):
    assert kinds.read_size(kinds.show_size(size)) == size


@pytest.mark.parametrize("written", ["", "1.0", "ten", True, 1.0, None])
def test_a_text_that_is_no_whole_number_is_refused(written):
    with pytest.raises(ValueError, match="not a whole number"):
        kinds.read_count(written)


def test_origins_are_compared_the_way_browsers_write_them():
    written = (
        "https://App.Example.com/, http://localhost:3000,https://a.example:443, http://[::1]:1"
    )
    assert kinds.read_origins(written) == (
        "https://app.example.com",
        "http://localhost:3000",
        "https://a.example",
        "http://[::1]:1",
    )


@pytest.mark.parametrize(
    "origin",
    [
        *("capacitor://localhost", "ionic://localhost", "tauri://localhost", "app://-"),
        "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
        "moz-extension://3c078156-979c-498b-8990-85f7987dd929",
        "app://bundle:80",
    ],
)
def test_origins_of_apps_are_kept_as_they_are(origin):
    assert kinds.read_origins(origin) == (origin,)


@pytest.mark.parametrize(
    "written",
    [
        *("app.example.com", "https://a/path", "https://u@a", "https://a?b", "ws://a", "wss://a"),
        *("file://a", "file:///", "data:text", "blob://a", "app://", "://a", "1a://b", "a b://c"),
    ],
)
def test_a_text_that_is_no_origin_is_refused(written):
    with pytest.raises(ValueError, match="not an origin"):
        kinds.read_origins(written)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("*", "pages of others"),
        ("https://*.example.com", "pages of others"),
        ("capacitor://*", "pages of others"),
        ("null", "sandboxed"),
        ("NULL", "sandboxed"),
    ],
)
def test_an_origin_that_would_let_every_page_in_is_refused_with_the_reason(written, why):
    with pytest.raises(ValueError, match=why):
        kinds.read_origins(["https://app.example.com", written])


def test_hosts_are_one_or_several():
    assert kinds.read_hosts("::") == ("::",)
    assert kinds.read_hosts("127.0.0.1, [::1],localhost,127.0.0.1") == (
        *("127.0.0.1", "::1", "localhost"),
    )
    assert kinds.HOSTS.show(kinds.read_hosts(["a", "b"])) == "a,b"


@pytest.mark.parametrize("written", ["", " ", ",", [], ["a", ""], 1, "a b", "http://a", "a\n\tb"])
def test_a_text_that_is_no_host_is_refused(written):
    with pytest.raises(ValueError, match=r"is empty|not an address or a name|not a list"):
        kinds.read_hosts(written)


def test_networks_are_addresses_and_ranges_of_both_families():
    written = "10.0.0.7, 192.168.0.0/16,::1,fd00::/8"
    networks = kinds.read_networks(written)
    assert ipaddress.ip_address("192.168.3.4") in networks[1]
    assert ipaddress.ip_address("10.0.0.8") not in networks[0]
    assert kinds.NETWORKS.show(networks) == "10.0.0.7,192.168.0.0/16,::1,fd00::/8"


@pytest.mark.parametrize("written", ["proxy", "10.0.0.7/8", "10.0.0/8", "fd00::/129", "*", "[::1]"])
def test_a_text_that_is_no_network_is_refused(written):
    with pytest.raises(ValueError, match="not an address, nor a network"):
        kinds.read_networks(written)


@pytest.mark.parametrize(
    "written", ["email", "https://example.org/user", "a.b", "cognito:username"]
)
def test_a_claim_is_one_name_whatever_it_looks_like(written):
    assert kinds.read_claim(written) == written


@pytest.mark.parametrize(
    "written", ["", "two words", 'a"b', "a\\b", "é", "x" * 257, "exp", "scope"]
)
def test_a_name_that_can_hold_no_user_is_no_claim(written):
    with pytest.raises(ValueError, match="is "):
        kinds.read_claim(written)


@pytest.mark.parametrize("written", ["none", "NONE", " none "])
def test_that_any_audience_will_do_can_be_said(written):
    assert kinds.read_audience(written) is kinds.Explicit.NONE
    assert kinds.AUDIENCE.show(kinds.Explicit.NONE) == "none"


def test_the_address_of_a_key_set_is_shown_without_its_query():
    address = "https://id.example.com/keys?code=hunter2#x"
    assert kinds.JWKS_URL.read(address) == address
    assert kinds.JWKS_URL.show(address) == "https://id.example.com/keys?…"
    assert kinds.JWKS_URL.show("https://id.example.com/keys") == "https://id.example.com/keys"


@pytest.mark.parametrize(
    "written",
    [
        "postgres://db/tocsin",
        "postgresql://u:p@db:5432/tocsin?sslmode=require",
        "sqlite:///tocsin.db",
        "sqlite:////var/lib/tocsin.db",
    ],
)
def test_an_accepted_database_address_is_kept_as_written(written):
    assert kinds.read_database(written) == written


@pytest.mark.parametrize(
    "written",
    [
        "tocsin.db",
        "mysql://db/tocsin",
        "sqlite://tocsin.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "postgres://",
        "postgres://u:hunter2/x@db/tocsin",
        "postgres://u:1?hunter2@db/tocsin",
        "postgres://u:hunter2#@db/tocsin",
    ],
)
def test_any_other_database_address_is_refused_without_showing_its_password(written):
    with pytest.raises(ValueError, match=re.compile("^(?!.*hunter2)")):
        kinds.read_database(written)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://id.example/keys?api_key=hunter2#hunter3", "https://id.example/keys?…"),
        ("https://id.example:8443/keys", "https://id.example:8443/keys"),
        ("https://u:hunter2@id.example/keys", "https://id.example/keys"),
    ],
)
def test_a_shown_key_sets_address_has_no_query(address, shown):
    assert kinds.JWKS_URL.show(address) == shown


def test_a_shown_database_says_which_and_not_how_to_enter():
    shown = service_urls.show_database("postgres://u:hunter2@db:5432/tocsin?password=hunter3")
    assert shown == "postgres://********@db:5432/tocsin"


@pytest.mark.parametrize(
    "written",
    [
        "redis://cache",
        "redis://cache:6380/",
        "redis://:p%40ss@cache/15",
        f"rediss://tocsin:secret@[::1]:6380/3?ssl_ca_certs={__file__}",
    ],
)
def test_an_accepted_redis_address_is_kept_as_written(written):
    assert kinds.read_redis(written) == written


@pytest.mark.parametrize(
    "written",
    [
        "cache:6379",
        "http://cache",
        "redis://",
        "redis://:hunter2/x@cache",
        "redis://cache/zero",
        "redis://cache/1/2",
        "redis://cache?db=hunter2",
        "redis://cache?ssl_ca_certs=/etc/ca.pem",
        "rediss://cache?ssl_cert_reqs=none",
        f"rediss://:hunter2@cache?ssl_ca_certs={__file__}.not",
    ],
)
def test_any_other_redis_address_is_refused_without_showing_its_password(written):
    with pytest.raises(ValueError, match=re.compile("^(?!.*hunter2)")):
        kinds.read_redis(written)


def test_a_file_in_a_redis_address_that_cannot_be_read_is_named_with_the_reason():
    wrong = "ssl_ca_certs names the file '/nowhere/ca.pem', which cannot be read: No such file"
    with pytest.raises(ValueError, match=wrong):
        kinds.read_redis("rediss://:hunter2@cache?ssl_ca_certs=/nowhere/ca.pem")


def test_a_public_key_may_be_text_or_a_file(tmp_path):
    pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    (tmp_path / "key.pem").write_text(pem)
    assert kinds.read_public_key(pem) == pem
    assert kinds.read_public_key(str(tmp_path / "key.pem")) == pem


def test_a_private_key_in_place_of_a_public_one_is_refused_unseen():
    with pytest.raises(ValueError, match="is a private key") as caught:
        kinds.read_public_key("-----BEGIN PRIVATE KEY-----\nsesame\n-----END PRIVATE KEY-----\n")
    assert "sesame" not in str(caught.value)


def test_a_public_key_file_that_is_missing_or_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        kinds.read_public_key(str(tmp_path / "missing.pem"))
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="not a public key"):
        kinds.read_public_key(str(tmp_path / "text"))

"""`tocsin token`."""

import os
import time

import httpx
import jwt
import pytest

from servers.node import PATIENCE
from tests.cli.command_kit import last_line
from tests.server.auth.issuer_kit import private_key, public_pem
from tocsin.settings import Settings
from tocsin.settings.secrets import DevelopmentSecrets

SECRET = "correct horse battery staple, twice"


def claims(text, secret=SECRET, **options):
    return jwt.decode(text, secret, algorithms=["HS256"], options={"verify_aud": False}, **options)


def test_a_token_is_signed_with_the_secret_that_is_set(tocsin):
    result = tocsin("token", "ada", TOCSIN_JWT_SECRET=SECRET)
    read = claims(last_line(result))
    assert read["sub"] == "ada"
    assert "scope" not in read
    assert read["exp"] - time.time() == pytest.approx(3600, abs=30)


def test_without_a_secret_that_is_set_the_servers_own_is_used(tocsin, tmp_path):
    settings = Settings(data=tmp_path / "here")
    secret = DevelopmentSecrets.open(settings, os.urandom).jwt_secret
    assert claims(last_line(tocsin("token", "ada", "--data", "here")), secret)["sub"] == "ada"


def test_where_no_server_has_been_none_is_made_and_it_says_where_it_looked(tocsin, tmp_path):
    result = tocsin("token", "ada", "--data", "here")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: There is no installation of Tocsin.\n"
        f"    where: {tmp_path}/here\n"
        "    do:    start the server (tocsin serve), or name its data directory with --data\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "scopes",
    [
        ("--scope", "notify", "--scope", "admin"),
        ("--scope", "notify admin"),
        ("--scope", "admin,notify"),
    ],
)
def test_scopes_may_be_given_apart_or_together(tocsin, scopes):
    result = tocsin("token", "ada", *scopes, TOCSIN_JWT_SECRET=SECRET)
    assert claims(last_line(result))["scope"] == "admin notify"


@pytest.mark.parametrize(("written", "seconds"), [("90", 90), ("5m", 300), ("30d", 2592000)])
def test_a_lifetime_is_written_like_other_durations(tocsin, written, seconds):
    result = tocsin("token", "ada", "--lifetime", written, TOCSIN_JWT_SECRET=SECRET)
    assert claims(last_line(result))["exp"] - time.time() == pytest.approx(seconds, abs=30)


def test_issuer_and_audience_of_the_settings_are_in_it(tocsin):
    result = tocsin(
        *("token", "ada", "--jwt-issuer", "us", "--jwt-audience", "app"), TOCSIN_JWT_SECRET=SECRET
    )
    read = claims(last_line(result))
    assert (read["iss"], read["aud"]) == ("us", "app")


def test_a_user_is_whoever_an_identity_provider_names(tocsin):
    user = "https://idp.example/users/Ädä|42"
    assert claims(last_line(tocsin("token", user, TOCSIN_JWT_SECRET=SECRET)))["sub"] == user


def test_the_user_stands_in_the_claim_that_the_settings_name(tocsin):
    result = tocsin(
        *("token", "ada", "--user-claim", "email", "--jwt-audience", "none"),
        TOCSIN_JWT_SECRET=SECRET,
    )
    read = claims(last_line(result))
    assert read["email"] == "ada"
    assert read.keys().isdisjoint({"sub", "aud"})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a b"], "a user has 1 to 255 visible characters"),
        (["ada", "--scope", "root"], "no such scope: root"),
        (["ada", "--scope", ","], "names no scope"),
        (["ada", "--lifetime", "soon"], "is not a duration"),
        (["ada", "--lifetime", "0"], "1s to 3650d"),
        ([], "USER"),
    ],
)
def test_wrong_usage_is_told_on_stderr_with_exit_code_2(tocsin, tmp_path, arguments, told):
    result = tocsin("token", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert not list(tmp_path.iterdir())


def test_with_only_public_keys_there_is_nothing_to_sign_with(tocsin, tmp_path):
    (tmp_path / "key.pem").write_text(public_pem(private_key("ES256")))
    result = tocsin("token", "ada", TOCSIN_JWT_PUBLIC_KEY="key.pem")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "jwt_secret is not set" in result.stderr
    assert "do:   let the identity provider make the token" in result.stderr


def test_a_data_directory_that_cannot_be_is_told(tocsin, tmp_path):
    (tmp_path / "file").touch()
    result = tocsin("token", "ada", "--data", "file/below")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "file/below" in result.stderr


def test_the_server_believes_it(server, beside):
    token = last_line(beside("token", "ada"))
    answer = httpx.get(
        f"{server.url}/v1/inbox", headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE
    )
    assert answer.status_code == 200

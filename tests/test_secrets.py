"""Development secrets: made once, kept private, and never reachable from outside."""

import os
import subprocess
import sys

import pytest

from tocsin.settings import Settings
from tocsin.settings.kinds import read_networks
from tocsin.settings.secrets import DevelopmentSecrets, check_bind
from tocsin.settings.setting import SettingsError

OPEN = """
import os, sys
from pathlib import Path
from tocsin.settings.kinds import read_networks
from tocsin.settings.secrets import DevelopmentSecrets
from tocsin.settings import Settings
print("ready", flush=True)
sys.stdin.readline()
print(DevelopmentSecrets.open(Settings(data=Path(sys.argv[1])), os.urandom).jwt_secret)
"""


def mode(path):
    return path.stat().st_mode & 0o777


def test_without_jwt_settings_a_secret_is_made(tmp_path):
    secrets = DevelopmentSecrets.open(Settings(data=tmp_path), lambda count: b"\xff" * count)
    assert secrets.generated
    assert secrets.jwt_secret == "_" * 42 + "8"  # 32 bytes, base64 for URLs


def test_the_next_start_uses_the_same_secret(tmp_path):
    first = DevelopmentSecrets.open(Settings(data=tmp_path), os.urandom)
    assert DevelopmentSecrets.open(Settings(data=tmp_path), os.urandom) == first


def test_a_generated_secret_is_long_enough_to_be_set(tmp_path):
    secret = DevelopmentSecrets.open(Settings(data=tmp_path), os.urandom).jwt_secret
    assert Settings(jwt_secret=secret).jwt_secret == secret


def test_a_secret_that_was_set_is_used_and_nothing_is_made(tmp_path):
    settings = Settings(data=tmp_path, jwt_secret="s" * 32)
    assert DevelopmentSecrets.open(settings, os.urandom) == DevelopmentSecrets("s" * 32, False)
    assert not list(tmp_path.iterdir())


def test_with_public_keys_only_there_is_no_secret(tmp_path):
    settings = Settings(data=tmp_path, jwks_url="https://id.example/jwks.json", jwt_audience="app")
    assert DevelopmentSecrets.open(settings, os.urandom) == DevelopmentSecrets(None, False)


def test_the_file_and_its_directory_are_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        DevelopmentSecrets.open(Settings(data=tmp_path / "deep" / "data"), os.urandom)
    finally:
        os.umask(before)
    assert mode(tmp_path / "deep" / "data") == 0o700
    assert mode(tmp_path / "deep" / "data" / "jwt-secret") == 0o600


def test_making_a_secret_leaves_no_other_file(tmp_path):
    DevelopmentSecrets.open(Settings(data=tmp_path), os.urandom)
    assert [path.name for path in tmp_path.iterdir()] == ["jwt-secret"]


def test_processes_that_start_at_once_end_with_the_same_secret(tmp_path):
    data = tmp_path / "data"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    secrets = {process.communicate(timeout=30)[0] for process in started}
    assert secrets == {(data / "jwt-secret").read_text() + "\n"}


def test_the_second_process_takes_the_secret_of_the_first(tmp_path):
    settings = Settings(data=tmp_path)

    def overtaken(count):
        # Another process finishes between our look and our write.
        first.append(DevelopmentSecrets.open(settings, os.urandom))
        return os.urandom(count)

    first: list[DevelopmentSecrets] = []
    assert DevelopmentSecrets.open(settings, overtaken) == first[0]


def test_a_secret_that_others_can_read_is_refused(tmp_path):
    DevelopmentSecrets.open(Settings(data=tmp_path), os.urandom)
    (tmp_path / "jwt-secret").chmod(0o640)
    with pytest.raises(SettingsError, match=r"can be read by others \(mode 0640\)"):
        DevelopmentSecrets.open(Settings(data=tmp_path), os.urandom)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 43])
def test_a_damaged_secret_is_refused_and_not_replaced(tmp_path, content):
    path = tmp_path / "jwt-secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="is damaged"):
        DevelopmentSecrets.open(Settings(data=tmp_path), os.urandom)
    assert path.read_bytes() == content


def test_a_data_directory_that_cannot_hold_it_is_a_problem_with_a_way_out(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SettingsError, match="set TOCSIN_JWT_SECRET"):
        DevelopmentSecrets.open(Settings(data=tmp_path / "data"), os.urandom)


def test_a_secret_is_in_no_repr():
    assert "sesame" not in repr(DevelopmentSecrets("sesame", True))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_a_generated_secret_may_serve_this_machine(host):
    check_bind(Settings(host=(host,)), generated=True)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "192.168.1.5", "::ffff:10.0.0.1", "example.com", "127.0.0.1.nip.io"],
)
def test_a_generated_secret_may_not_serve_others(host):
    with pytest.raises(SettingsError, match="set TOCSIN_JWT_SECRET") as caught:
        check_bind(Settings(host=("127.0.0.1", host)), generated=True)
    assert caught.value.problems[0].settings == ("host",)


def test_a_generated_secret_may_not_serve_those_behind_a_proxy():
    behind = Settings(forwarded_from=read_networks("127.0.0.1"))
    with pytest.raises(SettingsError, match="set TOCSIN_JWT_SECRET") as caught:
        check_bind(behind, generated=True)
    assert caught.value.problems[0].settings == ("forwarded_from",)
    check_bind(behind, generated=False)


def test_a_secret_that_was_set_may_serve_everybody():
    check_bind(Settings(host=("0.0.0.0",)), generated=False)

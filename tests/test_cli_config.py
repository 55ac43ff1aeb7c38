"""The command line's base: `tocsin config`, the flags made from the record, and errors."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tocsin import __version__
from tocsin.cli import main
from tocsin.cli.options import serve_options, subset
from tocsin.settings import SETTINGS
from tocsin.settings.sources import load_settings

ROOT = Path(__file__).parent.parent
SECRET = "correct horse battery staple, twice"


@pytest.fixture
def tocsin(monkeypatch, tmp_path):
    """Runs `tocsin` with these arguments, in an empty directory and without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TOCSIN_")]:
        monkeypatch.delenv(name)

    def tocsin(*arguments, **environ):
        return CliRunner().invoke(main, arguments, env=environ)

    return tocsin


def shown(result):
    """`config show` as a mapping of name to the rest of its line."""
    assert result.exit_code == 0, result.output
    return dict(line.split(maxsplit=1) for line in result.stdout.splitlines())


def python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_the_version_is_told(tocsin):
    assert tocsin("--version").stdout == f"tocsin {__version__}\n"


def test_the_package_is_a_program_too():
    version = subprocess.run(
        [sys.executable, "-m", "tocsin", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert version.stdout == f"tocsin {__version__}\n"


def test_help_lists_the_commands(tocsin):
    listed = tocsin("--help").stdout.split("Commands:")[1].splitlines()
    assert ["config", "Check, show and document the settings."] in [
        line.split(maxsplit=1) for line in listed
    ]


def test_an_unknown_command_is_wrong_usage(tocsin):
    assert tocsin("sevre").exit_code == 2


def test_help_imports_no_command_and_no_command_imports_the_server():
    heavy = "print([name for name in sys.modules if name in {'trio', 'quart', 'structlog'}])"
    run = "main(sys.argv[1:], standalone_mode=False)"
    assert "[]" in python(f"import sys; from tocsin.cli import main; {run}; {heavy}", "--help")
    assert "[]" in python(
        f"import sys; from tocsin.cli import main; {run}; {heavy}", "config", "docs"
    )
    commands = "print('tocsin.cli.config' in sys.modules)"
    assert "False" in python(
        f"import sys; from tocsin.cli import main; {run}; {commands}", "--help"
    )


def test_a_node_by_itself_imports_neither_drivers_nor_clients():
    theirs = {"asyncpg", "redis", "trio_asyncio", "httpx", "tocsin_client"}
    loaded = f"print([name for name in sys.modules if name in {theirs}])"
    assert "[]" in python(f"import sys; import tocsin.cli.serving.node_process; {loaded}")


def test_good_settings_are_said_to_be_good(tocsin):
    result = tocsin("config", "check")
    assert (result.exit_code, result.stdout) == (0, "The settings can be used.\n")


def test_wrong_settings_are_listed_on_stderr_with_exit_code_2_and_no_traceback(tocsin):
    result = tocsin("config", "check", "--window", "0", TOCSIN_PORT="x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "2 problems" in result.stderr
    assert "flag --window" in result.stderr
    assert "environment variable TOCSIN_PORT" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_open_address_without_jwt_settings_is_found_before_the_server_starts(tocsin):
    result = tocsin("config", "check", "--host", "0.0.0.0")
    assert result.exit_code == 2
    assert "set TOCSIN_JWT_SECRET" in result.stderr
    assert tocsin("config", "check", "--host", "0.0.0.0", TOCSIN_JWT_SECRET=SECRET).exit_code == 0


def test_checking_creates_nothing(tocsin, tmp_path):
    tocsin("config", "check")
    assert not list(tmp_path.iterdir())


def test_every_setting_is_shown_with_its_origin(tocsin, tmp_path):
    (tmp_path / "t.toml").write_text('retention = "30d"')
    rows = shown(
        tocsin("config", "show", "--config", "t.toml", "--port", "9000", TOCSIN_HEARTBEAT="5")
    )
    assert list(rows) == [known.name for known in SETTINGS]
    assert rows["port"].split(maxsplit=1) == ["9000", "flag --port"]
    assert rows["heartbeat"].split(maxsplit=1) == ["5s", "environment variable TOCSIN_HEARTBEAT"]
    assert rows["retention"].split(maxsplit=1) == ["30d", "file t.toml, key retention"]
    assert rows["window"].split(maxsplit=1) == ["64", "default"]


def test_the_file_can_be_named_by_a_variable(tocsin, tmp_path):
    (tmp_path / "t.toml").write_text("port = 9000")
    assert shown(tocsin("config", "show", TOCSIN_CONFIG="t.toml"))["port"].startswith("9000")


def test_secrets_are_masked(tocsin):
    result = tocsin(
        *("config", "show", "--database", "postgres://tocsin:hunter2@db/tocsin?password=hunter3"),
        *("--jwks-url", "https://id.example/keys?code=hunter4", "--jwt-audience", "tocsin"),
        *("--redis", "redis://:hunter5@cache/1"),
        TOCSIN_JWT_SECRET=SECRET,
    )
    rows = shown(result)
    assert rows["jwt_secret"].startswith("******** ")
    assert rows["database"].startswith("postgres://********@db/tocsin ")
    assert rows["jwks_url"].startswith("https://id.example/keys?… ")
    assert rows["redis"].startswith("redis://********@cache/1 ")
    for secret in (SECRET, "hunter"):
        assert secret not in result.output


def test_the_default_database_is_shown_as_the_file_it_is(tocsin):
    rows = shown(tocsin("config", "show", "--data", "/srv/tocsin"))
    assert rows["database"].split() == ["sqlite:////srv/tocsin/tocsin.db", "default"]


def test_the_documentation_in_the_repository_is_the_printed_one(tocsin):
    printed = tocsin("config", "docs").stdout
    assert (ROOT / "docs" / "settings.md").read_text() == printed, (
        "docs/settings.md is out of date: tocsin config docs > docs/settings.md"
    )


def test_every_setting_is_in_the_documentation(tocsin):
    printed = tocsin("config", "docs").stdout
    assert all(f"| `{known.name}` |" in printed for known in SETTINGS)
    assert "| `retention` | 90d | duration, 1s to 3650d |" in printed


def test_the_documentation_table_has_four_columns_everywhere(tocsin):
    rows = [line for line in tocsin("config", "docs").stdout.splitlines() if line[:1] == "|"]
    assert {row.count("|") for row in rows} == {5}


def test_a_command_with_serve_options_has_a_flag_for_every_setting():
    @click.command()
    @serve_options
    def serve(flags):
        click.echo(load_settings(flags, {}).resend_delay)

    text = CliRunner().invoke(serve, ["--help"]).stdout
    assert all(known.flag in text for known in SETTINGS)
    assert "--config" in text
    assert CliRunner().invoke(serve, ["--resend-delay", "500ms"]).stdout == "0.5\n"


def test_a_command_with_some_settings_has_those_flags_and_keeps_its_own():
    @click.command()
    @click.argument("user")
    @click.option("--host", help="A parameter that is called like a setting.")
    @subset("data", "database")
    def token(user, host, flags):
        settings = load_settings(flags, {"TOCSIN_PORT": "9000"})
        click.echo(f"{user} {host} {settings.data} {settings.port}")

    result = CliRunner().invoke(token, ["anna", "--host", "h", "--data", "d"])
    assert result.stdout == "anna h d 9000\n"
    assert CliRunner().invoke(token, ["anna", "--port", "1"]).exit_code == 2


def test_a_subset_of_settings_that_do_not_exist_is_our_own_mistake():
    with pytest.raises(LookupError, match="detabase"):
        subset("data", "detabase")

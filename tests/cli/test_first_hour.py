"""The commands of the first hour, and their answers: where the server is, whose token
is meant, what was not meant."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import httpx
import pytest

from servers.machine import free_port
from servers.node import PATIENCE, ROOT
from servers.tokens import SECRET, bearer
from tests.cli.command_kit import Listener, last_line
from tests.system.server_kit import Server, fresh_user


def titles(server: Server, token: str) -> list[str]:
    answer = httpx.get(f"{server.url}/v1/inbox", headers=bearer(token), timeout=PATIENCE)
    return [each["title"] for each in answer.json()["notifications"]]


# --- Which server ---------------------------------------------------------------------------------


def test_the_server_is_found_by_a_variable_and_by_its_own_settings(
    server, beside, tocsin, tmp_path
):
    ada, data = fresh_user(), server.settings["data"]
    (tmp_path / "tocsin.toml").write_text(f'port = {server.port}\ndata = "{data}"\n')
    for title, arguments, environment in (
        ("variable", ["--data", data], {"TOCSIN_URL": server.url}),
        ("port", ["--data", data], {"TOCSIN_PORT": str(server.port)}),
        ("any address", ["--data", data, "--wait", "0"],
         {"TOCSIN_PORT": str(server.port), "TOCSIN_HOST": "0.0.0.0"}),
        ("file", ["--config", "tocsin.toml"], {}),
    ):  # fmt: skip
        last_line(tocsin("send", ada, title, *arguments, **environment))
    token = last_line(beside("token", ada))
    assert titles(server, token) == ["file", "any address", "port", "variable"]

    letters = tocsin("dead-letters", "list", "--user", ada, "--config", "tocsin.toml")
    assert letters.stderr == "There are none.\n"
    wrong = tocsin("listen", "bob", "--token", token, "--config", "tocsin.toml")
    assert f"The token is {ada}'s and not bob's." in wrong.stderr


def test_a_flag_goes_before_the_variable_and_both_before_the_settings(server, beside, tocsin):
    nobody = f"http://127.0.0.1:{free_port()}"
    ada = fresh_user()
    where = ["--data", server.settings["data"], "--url", server.url]
    last_line(tocsin("send", ada, "Hello", *where, TOCSIN_URL=nobody, TOCSIN_PORT="1"))


def test_a_port_that_is_left_open_is_told(tocsin):
    result = tocsin("send", "ada", "Hello", TOCSIN_PORT="0")
    assert result.exit_code == 1
    assert "do:    name the server with --url" in result.stderr


# --- Tokens ---------------------------------------------------------------------------------------


def test_a_token_comes_from_a_file_or_a_variable_as_well(server, beside, tocsin, tmp_path):
    ada, key = fresh_user(), last_line(beside("key create", "--scope", "notify"))
    (tmp_path / "key").write_text(f"{key}\n")
    (tmp_path / "wrong").write_text("tk_wrong\n")
    for arguments, environment in (
        (["--token-file", "key"], {}),
        ([], {"TOCSIN_TOKEN": key}),
        (["--token-file", "key"], {"TOCSIN_TOKEN": "tk_wrong"}),
        (["--token", key], {"TOCSIN_TOKEN": "tk_wrong"}),
    ):
        last_line(tocsin("send", ada, "Hello", "--url", server.url, *arguments, **environment))
    assert titles(server, last_line(beside("token", ada))) == ["Hello"] * 4

    both = tocsin("send", ada, "Hello", "--token", key, "--token-file", "key")
    assert (both.exit_code, "not both" in both.stderr) == (2, True)
    missing = tocsin("send", ada, "Hello", "--token-file", "nowhere")
    assert "nowhere cannot be read: No such file or directory" in missing.stderr


def test_a_token_of_another_installation_is_told_with_both_places(start, tocsin, tmp_path):
    server = start("theirs").start()
    ours = start("ours").start()
    ours.stop()
    data = server.settings["data"]
    for command in (["send", "ada", "Hello"], ["listen", "ada"], ["dead-letters", "list"]):
        refused = tocsin(*command, "--url", server.url, "--data", ours.settings["data"])
        assert refused.exit_code == 1
        assert server.url in refused.stderr
        assert f"where: made with the secret in {ours.settings['data']}\n" in refused.stderr
        assert "do:    name the data directory of that server" in refused.stderr
        if command[0] != "listen":
            assert f"This server keeps its data in {data}" in refused.stderr


def test_where_the_data_is_is_told_to_this_machine_only(start):
    key = f"tk_{'a' * 16}_{'a' * 52}"
    server = start().start()
    data = str(server.settings["data"])
    straight = httpx.get(f"{server.url}/metrics", headers=bearer(key), timeout=PATIENCE)
    assert straight.json()["detail"].endswith(f"This server keeps its data in {data}.")
    assert data not in straight.headers["WWW-Authenticate"]
    for header in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        proxied = httpx.get(
            f"{server.url}/metrics", headers={**bearer(key), header: "10.0.0.1"}, timeout=PATIENCE
        )
        assert (proxied.status_code, data in proxied.text) == (401, False)
    missing = httpx.get(f"{server.url}/metrics", timeout=PATIENCE)
    assert (missing.status_code, data in missing.text) == (401, False)

    open_to_others = start("open", TOCSIN_JWT_SECRET=SECRET).start()
    refused = httpx.get(f"{open_to_others.url}/metrics", headers=bearer(key), timeout=PATIENCE)
    assert (refused.status_code, "keeps its data" in refused.text) == (401, False)


# --- A server that is just starting ---------------------------------------------------------------


def test_listen_and_send_wait_for_the_server_that_is_starting(start, tmp_path):
    server = start()
    listener = Listener(server, tmp_path, "ada", "--json")
    send = subprocess.Popen(
        [sys.executable, "-m", "tocsin", "send", "ada", "Hello", "--url", server.url,
         "--data", str(server.settings["data"]), "--wait", "120s"],
        env=server.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        told = listener.expect_news("There is no installation in")
        assert f"Waiting for its server at {server.url}" in told
        server.start()
        out, err = send.communicate(timeout=60)
        assert send.returncode == 0, err
        assert "There is no installation in" in err
        listener.expect(out.strip())
        assert listener.interrupt() == 0
    finally:
        listener.close()
        send.kill()
        send.wait()


def test_data_that_another_server_keeps_is_not_waited_for(server, tocsin, tmp_path):
    result = tocsin("listen", "ada", "--url", server.url)
    assert result.exit_code == 1
    assert f"The server at {server.url} keeps its data somewhere else." in result.stderr
    assert f"where: {tmp_path}/tocsin-data" in result.stderr


# --- Slips ----------------------------------------------------------------------------------------


def test_a_title_without_quotes_is_not_sent_to_its_words(beside, tocsin):
    refused = tocsin("send", "ada", "build", "is", "green")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert 'This would send "green" to ada, build and is.' in refused.stderr
    assert "tocsin send ada 'build is green'" in refused.stderr
    assert "--yes" in refused.stderr
    # With quotes it is a sentence, and nobody has to say so.
    assert beside("send", fresh_user(), fresh_user(), "It is green").exit_code == 0


@pytest.mark.parametrize(("answer", "sent"), [("n", []), ("y", ["green"])])
def test_on_a_terminal_it_asks(server, beside, answer, sent):
    ada, word = fresh_user("ada"), fresh_user("build")
    said = converse(
        ["send", ada, word, "green", "--url", server.url, "--data", server.settings["data"]],
        server.environment,
        {"Send it to all of them? [y/N]:": answer},
    )
    assert f'This would send "green" to {ada} and {word}.' in said
    assert titles(server, last_line(beside("token", word))) == sent


def converse(arguments: list[object], environment: dict[str, str], answers: dict[str, str]) -> str:
    """Run the command on a terminal of its own, and answer what it asks; all that was said."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "tocsin", *map(str, arguments)]
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    said = ""
    try:
        while True:
            try:
                part = os.read(parent, 4096)
            except OSError:  # the terminal has no other side any more
                return said
            if not part:
                return said
            said += part.decode()
            for question, answer in list(answers.items()):
                if question in said:
                    os.write(parent, f"{answer}\n".encode())
                    del answers[question]
    finally:
        os.close(parent)
        process.wait(30)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["lsiten"], "tocsin listen"),
        (["dead-leters"], "tocsin dead-letters"),
        (["key", "creat"], "tocsin key create"),
    ],
)
def test_a_wrong_verb_gets_a_suggestion(tocsin, typed, meant):
    result = tocsin(*typed)
    assert result.exit_code == 2
    assert f"Did you mean {meant}?" in result.stderr


def test_json_where_a_directory_is_meant_is_told(tocsin):
    result = tocsin("send", "ada", "Hello", "--data", '{"a":1}', "--wait", "0")
    assert result.exit_code == 1
    assert "JSON for the receiver goes with --data-json" in result.stderr

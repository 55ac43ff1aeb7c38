"""From tables to connectors: what a table may say, and what is said of a missing library."""

from __future__ import annotations

import builtins
import json
import re
import subprocess
import sys
import tomllib

import pytest

from servers.node import ROOT
from tocsin.connecting import make_connectors
from tocsin.settings import Settings
from tocsin.settings.connectors import (
    KINDS,
    KafkaConnector,
    RabbitConnector,
    SqsConnector,
    read_connectors,
)
from tocsin.settings.setting import SettingsError
from tocsin.settings.sources import resolve

REDIS = {"kind": "redis", "url": "redis://:secret@h/0", "stream": "s"}
RABBIT = {"kind": "rabbitmq", "url": "amqp://u:secret@h/", "queue": "q"}
SQS = {
    "kind": "sqs",
    "queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q",
    "access_key": "k",
    "secret_key": "secret",
}
KAFKA = {"kind": "kafka", "servers": ["h:9092"], "topics": ["t"]}


def test_tables_of_the_file_and_the_variable_are_read_alike(tmp_path):
    (tmp_path / "url").write_text("amqp://u:secret@h/\n")
    file = tmp_path / "tocsin.toml"
    file.write_text(
        f'[connectors.a]\nkind = "rabbitmq"\nurl_file = "{tmp_path}/url"\nqueue = "q"\n'
        '[connectors.b]\nkind = "kafka"\nservers = ["h:9092"]\ntopics = ["t"]\nage_max = "1d"\n'
    )
    from_file = resolve({"config": str(file)}, {}).settings.connectors
    text = json.dumps({"a": RABBIT, "b": KAFKA | {"age_max": "1d"}})
    assert resolve({}, {"TOCSIN_CONNECTORS": text}).settings.connectors == from_file
    rabbit, kafka = from_file
    assert isinstance(rabbit, RabbitConnector)
    assert isinstance(kafka, KafkaConnector)
    assert (rabbit.url, kafka.age_max) == ("amqp://u:secret@h/", 86400.0)


def test_everything_that_is_wrong_is_said_at_once_and_no_secret():
    tables = {
        "a": {"kind": "redis", "url": "http://:secret@h"},
        "B": {},
        "c": {"kind": "mq"},
        "d": RABBIT | {"queue": "", "ordered": "perhaps", "batch": 0, "colour": "red"},
        "e": KAFKA | {"servers": ["h"], "topics": [], "password_file": "/none"},
        "f": 7,
        "g": SQS | {"queue_url": "https://u:secret@h/1/q", "visibility": "1s"},
        "h": SQS | {"queue_url": "https://h/"},
    }
    with pytest.raises(ValueError, match="cannot be used") as wrong:
        read_connectors(tables)
    said = str(wrong.value)
    for each in (
        *("a.url is not", "a.stream is missing", "'B' is no name", "c.kind is not one of"),
        *("d.queue is empty", "d.ordered is", "d.batch is 0", "d.colour is no key"),
        *("e.servers does not", "e.topics does not", "e.password names the file", "f is not"),
        *("g.queue_url is not", "g.visibility is 1s", "h.queue_url does not end"),
    ):
        assert each in said.replace("e.password_file", "e.password")
    assert "secret" not in said


@pytest.mark.parametrize("raw", ["{", "[]", "7", 7, {str(number): {} for number in range(65)}])
def test_a_file_without_its_tables_is_refused(raw):
    with pytest.raises(ValueError, match=r"is not|has more"):
        read_connectors(raw)


def test_secrets_are_not_shown():
    settings = Settings(node="n", connectors=read_connectors({"a": RABBIT, "b": REDIS, "c": SQS}))
    assert "secret" not in repr(settings)
    assert "secret" not in repr(settings.connectors)


def test_a_connector_is_made_for_each_table():
    tables = {"a": REDIS, "b": RABBIT | {"categories": ["x"]}, "c": KAFKA | {"batch": 7}}
    tables |= {"d": SQS | {"wait": "9s"}}
    settings = Settings(node="n", connectors=read_connectors(tables))
    made = make_connectors(settings)
    assert [(each.name, each.kind) for each in made] == [
        *(("a", "redis"), ("b", "rabbitmq"), ("c", "kafka")),
        ("d", "sqs"),
    ]
    assert (made[1].categories, made[2].batch) == (frozenset({"x"}), 7)
    assert (made[0].wait, made[3].wait) == (1.0, 9.0)
    assert made[0].key_longer_ms == 6 * 86_400_000
    assert made[0].loop_faults() == 0


@pytest.mark.parametrize(
    ("table", "more", "name"),
    [
        (REDIS, {}, "s.dead"),
        (RABBIT, {"dead_letter_exchange": "dlx"}, "q.dead"),
        (KAFKA, {"topics": ["t", "u"]}, "t.dead"),
        (SQS, {}, "q-dead"),
        (SQS, {"queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q.fifo"}, "q-dead.fifo"),
        (SQS, {"dead_letters_to": "graves"}, "graves"),
        (KAFKA, {"dead_letters_to": "graves"}, "graves"),
    ],
)
def test_dead_messages_may_go_to_a_place_at_the_broker(table, more, name):
    tables = {"a": table | more, "b": table | more | {"dead_letters": "broker"}}
    stored, moved = read_connectors(tables)
    assert (stored.dead_place, moved.dead_place) == (None, name)
    made = make_connectors(Settings(node="n", connectors=(stored, moved)))
    assert made[0].dead_letters is None
    assert made[1].dead_letters is not None


@pytest.mark.parametrize(
    ("table", "to"), [(REDIS, "s"), (KAFKA | {"topics": ["t", "u"]}, "u"), (SQS, "q")]
)
def test_dead_messages_do_not_go_back_to_where_they_come_from(table, to):
    tables = {"a": table | {"dead_letters": "broker", "dead_letters_to": to}}
    with pytest.raises(SettingsError, match="moves messages back"):
        make_connectors(Settings(node="n", connectors=read_connectors(tables)))


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("us-east-2.queue.amazonaws.com", "us-east-2"),
        ("vpce-1.sqs.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("127.0.0.1:9324", ""),
        ("queue.example.org", ""),
    ],
)
def test_the_region_of_a_queue_is_read_from_its_address(host, region):
    [table] = read_connectors({"a": SQS | {"queue_url": f"http://{host}/1/q"}})
    assert isinstance(table, SqsConnector)
    assert table.region_of_queue == region


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (SQS | {"queue_url": "https://h/1/q"}, "region"),
        ({name: SQS[name] for name in SQS if name != "secret_key"}, "one of access_key"),
        ({name: SQS[name] for name in ("kind", "queue_url")}, "no credentials"),
    ],
)
def test_a_queue_of_sqs_needs_a_region_and_credentials(monkeypatch, table, said):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(SettingsError, match=said):
        make_connectors(Settings(node="n", connectors=read_connectors({"a": table})))


def test_credentials_of_sqs_may_be_those_of_a_role(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    table = {name: SQS[name] for name in ("kind", "queue_url")}
    [instance] = read_connectors({"a": table | {"credentials": "instance"}})
    assert len(make_connectors(Settings(node="n", connectors=(instance,)))) == 1
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")
    settings = Settings(node="n", connectors=read_connectors({"a": table}))
    with pytest.raises(SettingsError, match="no AWS_ROLE_ARN"):
        make_connectors(settings)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
    assert len(make_connectors(settings)) == 1


def test_credentials_of_sqs_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-outside")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    table = {name: SQS[name] for name in ("kind", "queue_url")}
    [made] = make_connectors(Settings(node="n", connectors=read_connectors({"a": table})))
    assert "from-outside" in repr(made.connect)
    assert "'secret'" not in repr(made.connect)


def test_the_tables_of_the_documentation_can_be_used(tmp_path):
    secret = tmp_path / "secret"
    text = (ROOT / "docs" / "connectors.md").read_text()
    kinds = set()
    for block in re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for name, table in tomllib.loads(block)["connectors"].items():
            secret.write_text("amqp://u:p@h/" if table["kind"] == "rabbitmq" else "secret")
            given = {key: str(secret) if key[-5:] == "_file" else table[key] for key in table}
            [made] = make_connectors(Settings(node="n", connectors=read_connectors({name: given})))
            kinds.add(made.kind)
    assert kinds == set(KINDS)


@pytest.mark.parametrize(("table", "extra"), [(RABBIT, "rabbitmq"), (KAFKA, "kafka")])
def test_a_library_that_is_not_installed_is_named_with_its_extra(monkeypatch, table, extra):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if "brokers" in name:
            raise ModuleNotFoundError("No module", name="lib")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    settings = Settings(node="n", connectors=read_connectors({"a": table}))
    with pytest.raises(SettingsError, match=rf"tocsin\[{extra}\]"):
        make_connectors(settings)


def test_a_node_without_connectors_imports_no_library_of_theirs():
    code = (
        "import sys, tocsin.cli.serving.node_process, tocsin.node;"
        "names = 'aiormq', 'aiokafka', 'cramjam', 'tocsin.persistence.brokers.sqs';"
        "print([each for each in names if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

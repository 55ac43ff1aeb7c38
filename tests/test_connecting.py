"""From tables to connectors: what a table may say, and what is said of a missing library."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys

import pytest

from tocsin.connecting import make_connectors
from tocsin.settings import Settings
from tocsin.settings.connectors import KafkaConnector, RabbitConnector, read_connectors
from tocsin.settings.setting import SettingsError
from tocsin.settings.sources import resolve

REDIS = {"kind": "redis", "url": "redis://:secret@h/0", "stream": "s"}
RABBIT = {"kind": "rabbitmq", "url": "amqp://u:secret@h/", "queue": "q"}
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
    }
    with pytest.raises(ValueError, match="cannot be used") as wrong:
        read_connectors(tables)
    said = str(wrong.value)
    for each in (
        *("a.url is not", "a.stream is missing", "'B' is no name", "c.kind is not one of"),
        *("d.queue is empty", "d.ordered is", "d.batch is 0", "d.colour is no key"),
        *("e.servers does not", "e.topics does not", "e.password names the file", "f is not"),
    ):
        assert each in said.replace("e.password_file", "e.password")
    assert "secret" not in said


@pytest.mark.parametrize("raw", ["{", "[]", "7", 7, {str(number): {} for number in range(65)}])
def test_what_is_no_tables_is_refused(raw):
    with pytest.raises(ValueError, match=r"is not|has more"):
        read_connectors(raw)


def test_secrets_are_not_shown():
    settings = Settings(node="n", connectors=read_connectors({"a": RABBIT, "b": REDIS}))
    assert "secret" not in repr(settings)
    assert "secret" not in repr(settings.connectors)


def test_a_connector_is_made_for_each_table():
    tables = {"a": REDIS, "b": RABBIT | {"categories": ["x"]}, "c": KAFKA | {"batch": 7}}
    settings = Settings(node="n", connectors=read_connectors(tables))
    made = make_connectors(settings)
    assert [(each.name, each.kind) for each in made] == [
        *(("a", "redis"), ("b", "rabbitmq"), ("c", "kafka")),
    ]
    assert (made[1].categories, made[2].batch) == (frozenset({"x"}), 7)
    assert made[0].key_longer_ms == 6 * 86_400_000
    assert made[0].loop_faults() == 0


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
        "import sys, tocsin.cli.node_process, tocsin.node;"
        "print([each for each in ('aiormq', 'aiokafka', 'cramjam') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

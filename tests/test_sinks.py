"""From tables to sinks in brokers: what a table may say, and what the documentation has."""

from __future__ import annotations

import builtins
import json
import re
import tomllib

import pytest

from servers.node import ROOT
from tocsin.protocol.receipts.receipt import USUAL
from tocsin.settings import Settings
from tocsin.settings.setting import SettingsError
from tocsin.settings.sinks import SINK_KINDS, read_sinks
from tocsin.settings.sources import resolve
from tocsin.sinks import make_sinks

TABLES: dict[str, dict[str, object]] = {
    "a": {"kind": "rabbitmq", "url": "amqp://u:secret@h/", "routing_key": "q"},
    "b": {"kind": "kafka", "servers": ["h:9092"], "topic": "t", "key": "notification"},
    "c": {"kind": "redis", "url": "redis://:secret@h/0", "stream": "s", "events": ["read"]},
    "d": {
        "kind": "sqs",
        "queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q",
        "access_key": "k",
        "secret_key": "secret",
        "categories": ["orders"],
        "batch": 7,
    },
}


def test_a_sink_is_made_for_each_table():
    made = make_sinks(Settings(node="n", sinks=read_sinks(TABLES)))
    assert [(each.name, each.kind) for each in made] == [
        *(("a", "rabbitmq"), ("b", "kafka"), ("c", "redis"), ("d", "sqs")),
    ]
    assert [each.by_notification for each in made] == [False, True, False, False]
    assert (made[0].filter.events, made[2].filter.events) == (
        USUAL.events,
        ("read",),
    )
    assert (made[3].filter.categories, made[3].batch_max, made[0].batch_max) == (
        ("orders",),
        7,
        100,
    )


def test_tables_of_the_variable_are_read_and_no_secret_is_shown():
    resolved = resolve({}, {"TOCSIN_SINKS": json.dumps(TABLES)}).settings
    assert resolved.sinks == read_sinks(TABLES)
    assert "secret'" not in repr(resolved)
    assert ":secret" not in repr(make_sinks(Settings(node="n", sinks=resolved.sinks)))


def test_everything_that_is_wrong_is_said_at_once():
    tables = {
        "a": TABLES["a"] | {"events": ["born"], "batch": 0},
        "b": {"kind": "kafka"},
        "c": {"kind": "fax"},
        "d": TABLES["d"] | {"key": "colour"},
    }
    with pytest.raises(ValueError, match="cannot be used") as wrong:
        read_sinks(tables)
    for each in (
        *("a.events does not", "a.batch is 0", "b.servers is missing", "b.topic is missing"),
        *("c.kind is not one of", "d.key is"),
    ):
        assert each in str(wrong.value)


@pytest.mark.parametrize(("name", "extra"), [("a", "rabbitmq"), ("b", "kafka")])
def test_a_library_that_is_not_installed_is_named_with_its_extra(monkeypatch, name, extra):
    real = builtins.__import__

    def without(wanted, *arguments, **options):
        if "brokers" in wanted:
            raise ModuleNotFoundError("No module", name="lib")
        return real(wanted, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    settings = Settings(node="n", sinks=read_sinks({name: TABLES[name]}))
    with pytest.raises(SettingsError, match=rf"tocsin\[{extra}\]"):
        make_sinks(settings)


def test_the_tables_of_the_documentation_can_be_used(tmp_path):
    secret = tmp_path / "secret"
    text = (ROOT / "docs" / "connections.md").read_text()
    kinds = set()
    for block in re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for name, table in tomllib.loads(block)["sinks"].items():
            secret.write_text("amqp://u:p@h/" if table["kind"] == "rabbitmq" else "secret")
            given = {key: str(secret) if key[-5:] == "_file" else table[key] for key in table}
            [made] = make_sinks(Settings(node="n", sinks=read_sinks({name: given})))
            kinds.add(made.kind)
    assert kinds == set(SINK_KINDS)

"""The metrics: every one has its words, and the text is what Prometheus reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tocsin.actors.runtime.histogram import Histogram
from tocsin.server.metrics.catalogue import METRICS, table
from tocsin.server.metrics.exposition import exposed
from tocsin.server.metrics.media_types import METRICS_CONTENT_TYPE, OPENMETRICS_CONTENT_TYPE
from tocsin.server.metrics.process import open_descriptors, process_readings
from tocsin.server.metrics.readings import MetricValue

DOCS = Path(__file__).parent.parent.parent / "docs" / "observing.md"


def test_the_docs_have_every_metric():
    assert table() in DOCS.read_text(encoding="utf-8"), "tocsin config metrics"


def test_the_media_types_are_those_of_the_library_that_writes_the_text():
    assert CONTENT_TYPE_LATEST == METRICS_CONTENT_TYPE
    assert openmetrics.CONTENT_TYPE_LATEST == OPENMETRICS_CONTENT_TYPE


def test_names_stand_once_and_have_the_suffix_of_their_unit():
    names = [metric.full_name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert not metric.name.endswith("_total")
        assert metric.about.endswith(".")


def test_a_metric_without_a_word_of_explanation_is_not_exported():
    with pytest.raises(KeyError):
        exposed([MetricValue("nobody_knows", 1)])


def test_counters_gauges_and_labels():
    text = exposed(
        [
            MetricValue("store_failures", 3),
            MetricValue("users_online", 2),
            MetricValue("refused", 1, ("origin",)),
            MetricValue("refused", 4, ("full",)),
        ]
    ).decode()
    assert "tocsin_store_failures_total 3.0\n" in text
    assert "tocsin_users_online 2.0\n" in text
    assert 'tocsin_refused_total{reason="origin"} 1.0\n' in text
    assert 'tocsin_refused_total{reason="full"} 4.0\n' in text
    assert text.count("# HELP tocsin_refused_total ") == 1


def test_a_histogram_as_prometheus_reads_it():
    times = Histogram((0.001, 0.01))
    for value in (0.0005, 0.001, 0.002, 5.0):
        times.observe(value)
    text = exposed([MetricValue("store_transaction_seconds", times, ("write",))]).decode()
    (family,) = text_string_to_metric_families(text)
    assert family.type == "histogram"
    samples = {
        (sample.name.rpartition("_")[2], sample.labels.get("le")): sample.value
        for sample in family.samples
    }
    assert samples == {
        ("bucket", "0.001"): 2,
        ("bucket", "0.01"): 3,
        ("bucket", "+Inf"): 4,
        ("count", None): 4,
        ("sum", None): pytest.approx(5.0035),
    }
    assert all(sample.labels["kind"] == "write" for sample in family.samples)


def test_the_process_is_seen_under_the_usual_names():
    values = dict(process_readings())
    assert values["process_cpu_seconds"] > 0
    assert values["process_resident_memory_bytes"] > 10_000_000
    assert 0 < values["process_open_fds"] < values["process_max_fds"]
    text = exposed(MetricValue(name, value) for name, value in values.items()).decode()
    assert "\nprocess_cpu_seconds_total " in text
    assert "tocsin_process" not in text


def test_descriptors_are_counted_also_where_the_kernel_does_not_say_how_many(tmp_path):
    counted, listed = open_descriptors(), len(os.listdir("/proc/self/fd")) - 1
    assert counted is not None
    assert abs(counted - listed) <= 1
    uncounted = "/proc/self/ns"  # its size is 0, as that of /proc/self/fd was before Linux 6.2
    assert os.stat(uncounted).st_size == 0
    assert open_descriptors(uncounted) == len(os.listdir(uncounted)) - 1
    assert open_descriptors(str(tmp_path / "none")) is None

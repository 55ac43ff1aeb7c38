"""The header `traceparent`: what is read, and what is no trace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.protocol.traceparent import SpanContext, read_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_header_is_read_and_written_alike():
    text = f"00-{TRACE}-{SPAN}-01"
    assert read_traceparent(text) == SpanContext(TRACE, SPAN, sampled=True)
    assert str(read_traceparent(text)) == text


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("03", True)])
def test_the_lowest_flag_says_whether_it_is_sampled(flags, sampled):
    found = read_traceparent(f"00-{TRACE}-{SPAN}-{flags}")
    assert found is not None
    assert found.sampled is sampled


def test_a_later_version_may_be_longer():
    assert read_traceparent(f"01-{TRACE}-{SPAN}-01-more") == SpanContext(TRACE, SPAN)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-011",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01-" + "x" * 300,
    ],
)
def test_an_unreadable_header_is_no_trace(text):
    assert read_traceparent(text) is None


@given(st.text(max_size=80))
def test_no_text_is_an_error(text):
    read_traceparent(text)

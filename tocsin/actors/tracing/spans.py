"""Spans, and their form on the wire: OTLP, as JSON.

OpenTelemetry's own SDK would bring nine packages, a thread, and 30 µs for each span (0.9 µs for one
that is not sampled). A node has four kinds of spans to tell of, so they are written here; the JSON
form of OTLP is as binding as that of protobuf, and all collectors read both
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

import msgspec

from tocsin.protocol.traceparent import SpanContext

Attribute = str | int | float | bool
_SCOPE: Final = "tocsin"
_ERROR: Final = 2
"""The status of a span that failed, by OTLP's number."""


class SpanKind(IntEnum):
    """The relation of a span to the span before it, by OTLP's numbers."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A span that has ended. *began* and *ended* are in Unix nanoseconds; *parent* is a span's id.

    *failed* says why, if it did.
    """

    context: SpanContext
    name: str
    kind: SpanKind
    began: int
    ended: int
    parent: str = ""
    attributes: Mapping[str, Attribute] = {}
    links: Sequence[SpanContext] = ()
    failed: str | None = None


def encode_spans(spans: Iterable[Span], resource: Mapping[str, Attribute]) -> bytes:
    """The body of an export request; *resource* are the attributes of this node."""
    scoped = {"scope": {"name": _SCOPE}, "spans": [_span(each) for each in spans]}
    body = {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scoped]}
    return msgspec.json.encode({"resourceSpans": [body]})


def _span(span: Span) -> dict[str, Any]:
    written: dict[str, Any] = {
        "traceId": span.context.trace,
        "spanId": span.context.span,
        "name": span.name,
        "kind": int(span.kind),
        # 64-bit numbers are texts, as in all JSON that stands for protobuf.
        "startTimeUnixNano": str(span.began),
        "endTimeUnixNano": str(max(span.began, span.ended)),
        "attributes": _attributes(span.attributes),
    }
    if span.parent:
        written["parentSpanId"] = span.parent
    if span.links:
        written["links"] = [{"traceId": each.trace, "spanId": each.span} for each in span.links]
    if span.failed is not None:
        written["status"] = {"code": _ERROR, "message": span.failed}
    return written


def _attributes(attributes: Mapping[str, Attribute]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Attribute) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}

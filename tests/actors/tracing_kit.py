"""A tracer on virtual time, and spans as another hand's library reads them."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from tocsin.actors.tracing.tracer import Tracer
from tocsin.actors.world import World

NOW_MS = 1_700_000_000_000
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{PARENT}-01"


def a_tracer(*, every: int = 0, spans_per_second: int = 1000, chance: float = 0.5) -> Tracer:
    numbers = itertools.count(1)
    world = World(
        lambda: NOW_MS, lambda: chance, lambda count: next(numbers).to_bytes(count, "big")
    )
    return Tracer(world, every=every, spans_per_second=spans_per_second)


def read_export(body: bytes) -> ExportTraceServiceRequest:
    """*body* as OpenTelemetry's own definitions read it: an unknown or ill-typed field raises."""
    request = ExportTraceServiceRequest()
    json_format.Parse(json.dumps(_with_base64(json.loads(body))), request)
    return request


def _with_base64(value: Any) -> Any:
    # OTLP writes ids in hex, where the JSON of protobuf has base64 for all bytes.
    if isinstance(value, list):
        return [_with_base64(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(each)).decode()
        if key in ("traceId", "spanId", "parentSpanId")
        else _with_base64(each)
        for key, each in value.items()
    }


def spans_in(body: bytes) -> list[ProtoSpan]:
    return [
        span
        for resource in read_export(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def attributes_of(span: ProtoSpan) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }

"""The media types of the metrics, apart from what writes them: Prometheus's library is loaded by a
node that is asked for its metrics."""

from __future__ import annotations

from typing import Final

METRICS_CONTENT_TYPE: Final = "text/plain; version=1.0.0; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text"
OPENMETRICS_CONTENT_TYPE: Final = f"{OPENMETRICS}; version=1.0.0; charset=utf-8"

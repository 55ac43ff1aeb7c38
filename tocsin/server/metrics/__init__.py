"""Metrics: what there is to be read, how it is read, and its text for Prometheus."""

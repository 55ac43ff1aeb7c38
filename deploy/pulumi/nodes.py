"""Tocsin itself: the Secret with its addresses, and the Helm chart beside this program."""

from __future__ import annotations

from pathlib import Path

import pulumi
from pulumi import Input, Output
from pulumi_kubernetes.core.v1 import Secret
from pulumi_kubernetes.helm.v4 import Chart

CHART = Path(__file__).resolve().parent.parent / "chart"


def secret(
    config: pulumi.Config, namespace: Input[str], database: Output[str], redis: Output[str]
) -> Secret:
    """The Secret that the chart is told of."""
    return Secret(
        "addresses",
        metadata={"name": "tocsin", "namespace": namespace},
        string_data={
            "database": database,
            "redis": redis,
            "jwt-secret": config.require_secret("jwt-secret"),
        },
    )


def chart(config: pulumi.Config, namespace: Input[str], addresses: Secret) -> Chart:
    """The nodes, of the image that the stack names by its digest."""
    values: dict[str, object] = {
        "image": {
            "repository": config.require("image"),
            "digest": config.require("digest"),
        },
        "replicas": config.get_int("replicas") or 3,
        "secrets": {
            "database": {"name": addresses.metadata["name"], "key": "database"},
            "redis": {"name": addresses.metadata["name"], "key": "redis"},
            "jwt_secret": {"name": addresses.metadata["name"], "key": "jwt-secret"},
        },
    }
    if (host := config.get("host")) is not None:
        tls = config.get("tls-secret") or ""
        values["ingress"] = {"enabled": True, "host": host, "tlsSecret": tls}
    # Anything else of the chart: its schema refuses what it does not know.
    values |= config.get_object("values") or {}
    return Chart("tocsin", chart=str(CHART), namespace=namespace, values=values)

"""Tocsin and its backing services in a Kubernetes cluster; README.md has the settings."""

from __future__ import annotations

import backing
import nodes
import pulumi
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

config = pulumi.Config("tocsin")
namespace = Namespace("tocsin", metadata=ObjectMetaArgs(name=config.get("namespace") or "tocsin"))
name = namespace.metadata["name"]

postgres = backing.postgres(config, name)
redis = backing.redis(config, name)
kafka = backing.kafka(config, name) if config.get_bool("kafka") else None
secret = nodes.secret(config, name, postgres, redis)
nodes.chart(config, name, secret)

pulumi.export("namespace", name)
pulumi.export("address", pulumi.Output.format("http://tocsin.{0}.svc", name))
pulumi.export("database", postgres)
pulumi.export("redis", redis)
if kafka is not None:
    pulumi.export("kafka", kafka)

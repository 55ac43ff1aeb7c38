"""The backing services: each a StatefulSet with a disk, or Postgres by CloudNativePG.

Each function makes one service and gives its address. An address with a password in it is a secret
of the stack: Pulumi keeps it encrypted, and shows it to nobody who does not ask.
"""

from __future__ import annotations

import pulumi
from pulumi import Input, Output
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.apps.v1 import StatefulSet
from pulumi_kubernetes.core.v1 import Secret, Service

POSTGRES = "postgres:16.4"
REDIS = "redis:7.4.1"
KAFKA = "apache/kafka:3.8.1"
"""Images by release; `pulumi config set tocsin:…-image` names others, or the same by digest."""
REDIS_CONF = """\
requirepass {0}
appendonly yes
appendfsync always
maxmemory-policy noeviction
dir /data
"""
UNPRIVILEGED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def postgres(config: pulumi.Config, namespace: Input[str]) -> Output[str]:
    """A Postgres; gives its address, with the password of the owner of the tables."""
    password = config.require_secret("postgres-password")
    if config.get("postgres") == "cnpg":
        return _postgres_by_operator(config, namespace, password)
    secret = _secret("postgres", namespace, {"password": password})
    container = {
        "image": config.get("postgres-image") or POSTGRES,
        "env": [
            {"name": "POSTGRES_USER", "value": "tocsin"},
            {"name": "POSTGRES_DB", "value": "tocsin"},
            {"name": "PGDATA", "value": "/data/postgres"},
            {"name": "POSTGRES_INITDB_ARGS", "value": "--auth=scram-sha-256 --data-checksums"},
            {"name": "POSTGRES_PASSWORD", "valueFrom": _key_of(secret, "password")},
        ],
        "readinessProbe": {
            "exec": {"command": ["pg_isready", "--host=127.0.0.1", "--username=tocsin"]},
            "periodSeconds": 5,
        },
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
    }
    disk = config.get("postgres-disk") or "50Gi"
    host = _stateful("postgres", namespace, 5432, container, disk, user=999)
    return _address("postgres://tocsin:{0}@{1}:5432/tocsin", password, host)


def _postgres_by_operator(
    config: pulumi.Config, namespace: Input[str], password: Output[str]
) -> Output[str]:
    """Three instances by CloudNativePG, whose operator has to be in the cluster already."""
    owner = _secret(
        "postgres", namespace, {"username": "tocsin", "password": password},
        kind="kubernetes.io/basic-auth",
    )  # fmt: skip
    CustomResource(
        "postgres",
        api_version="postgresql.cnpg.io/v1",
        kind="Cluster",
        metadata={"name": "postgres", "namespace": namespace},
        spec={
            "instances": 3,
            # A commit that was answered is on a second disk.
            "postgresql": {"synchronous": {"method": "any", "number": 1}},
            "bootstrap": {
                "initdb": {
                    "database": "tocsin",
                    "owner": "tocsin",
                    "secret": {"name": owner.metadata["name"]},
                }
            },
            "storage": {"size": config.get("postgres-disk") or "50Gi"},
        },
    )
    host = Output.format("postgres-rw.{0}.svc", namespace)
    return _address("postgres://tocsin:{0}@{1}:5432/tocsin", password, host)


def redis(config: pulumi.Config, namespace: Input[str]) -> Output[str]:
    """A Redis that loses nothing that it has answered; gives its address, with the password.

    The spool is in it: every command is on disk before its answer, and nothing is evicted.
    """
    password = config.require_secret("redis-password")
    lines = Output.format(REDIS_CONF, password)
    secret = _secret("redis", namespace, {"redis.conf": lines})
    container = {
        "image": config.get("redis-image") or REDIS,
        "command": ["redis-server", "/etc/redis/redis.conf"],
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/redis", "readOnly": True}],
        "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 5},
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}},
    }
    volumes = [{"name": "settings", "secret": {"secretName": secret.metadata["name"]}}]
    disk = config.get("redis-disk") or "10Gi"
    host = _stateful("redis", namespace, 6379, container, disk, user=999, volumes=volumes)
    return _address("redis://:{0}@{1}:6379/0", password, host)


def kafka(config: pulumi.Config, namespace: Input[str]) -> Output[str]:
    """A Kafka of one broker, for connectors; gives its bootstrap address."""
    host = Output.format("kafka-0.kafka.{0}.svc", namespace)
    environment: dict[str, Input[str]] = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": Output.format("PLAINTEXT://{0}:9092", host),
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_LOG_DIRS": "/data/kafka",
    }
    container = {
        "image": config.get("kafka-image") or KAFKA,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "readinessProbe": {"tcpSocket": {"port": 9092}, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
    }
    disk = config.get("kafka-disk") or "20Gi"
    _stateful("kafka", namespace, 9092, container, disk, user=1000)
    return Output.format("{0}:9092", host)


def _stateful(
    name: str,
    namespace: Input[str],
    port: int,
    container: dict[str, object],
    disk: str,
    *,
    user: int,
    volumes: list[dict[str, object]] | None = None,
) -> Output[str]:
    """One pod with a disk that outlives it; gives the name by which it is found."""
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "tocsin"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    mounts = container.pop("volumeMounts", [])
    assert isinstance(mounts, list)
    container |= {
        "name": name,
        "ports": [{"containerPort": port}],
        "securityContext": UNPRIVILEGED,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, *mounts],
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": user, "fsGroup": user},
        "containers": [container],
        "volumes": volumes or [],
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": disk}},
        },
    }
    service = Service(
        name,
        metadata=metadata,
        spec={"clusterIP": "None", "selector": labels, "ports": [{"port": port}]},
    )
    StatefulSet(
        name,
        metadata=metadata,
        spec={
            "serviceName": name,
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            "volumeClaimTemplates": [claim],
        },
        # A preview that would replace it would take the data along.
        opts=pulumi.ResourceOptions(protect=True),
    )
    return Output.format("{0}.{1}.svc", service.metadata["name"], namespace)


def _secret(
    name: str, namespace: Input[str], values: dict[str, Input[str]], kind: str = "Opaque"
) -> Secret:
    metadata = {"name": name, "namespace": namespace}
    return Secret(name, metadata=metadata, type=kind, string_data=values)


def _key_of(secret: Secret, key: str) -> dict[str, object]:
    return {"secretKeyRef": {"name": secret.metadata["name"], "key": key}}


def _address(form: str, password: Output[str], host: Output[str]) -> Output[str]:
    return Output.secret(Output.format(form, password, host))

"""The way to a role of AWS that the environment names, by the variables of AWS's own programs.

Web identity goes before the container, as there: a pod that has both was given the former by hand.
The metadata service of an instance is asked only where the settings say so. Elsewhere its address
leads nowhere, and each start would wait for that to become clear.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from tocsin.persistence.brokers.aws_role import (
    ContainerGrant,
    Grant,
    InstanceGrant,
    WebIdentity,
)

_CONTAINER: Final = "http://169.254.170.2"
_INSTANCE: Final = "http://169.254.169.254"
_OPEN_HOSTS: Final = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23")
"""Addresses beside those of the machine itself from which credentials may come without TLS: the
agents of ECS and of EKS."""


def grant_of(environment: Mapping[str, str], region: str, *, instance: bool) -> Grant | None:
    """The way to a role that *environment* names, or that of the *instance*; `None` for none.

    Raises `ValueError` with a text that says which variable is wrong.
    """
    if instance:
        name = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
        return InstanceGrant((environment.get(name) or _INSTANCE).rstrip("/"))
    return _web_identity(environment, region) or _container(environment)


def _web_identity(environment: Mapping[str, str], region: str) -> Grant | None:
    token_file = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE", "")
    if not token_file:
        return None
    role = environment.get("AWS_ROLE_ARN", "")
    if not role:
        raise ValueError("AWS_WEB_IDENTITY_TOKEN_FILE and no AWS_ROLE_ARN")
    suffix = ".cn" if region.startswith("cn-") else ""
    endpoint = environment.get("AWS_ENDPOINT_URL_STS") or (
        f"https://sts.{region}.amazonaws.com{suffix}/"
    )
    session = environment.get("AWS_ROLE_SESSION_NAME") or "tocsin"
    return WebIdentity(endpoint, token_file, role, session)


def _container(environment: Mapping[str, str]) -> Grant | None:
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "")
    full = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if not relative and not full:
        return None
    if not relative and not _is_safe(full):
        raise ValueError(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI, which is neither https:// nor of this machine"
        )
    return ContainerGrant(
        f"{_CONTAINER}/{relative.lstrip('/')}" if relative else full,
        environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", ""),
        environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ""),
    )


def _is_safe(url: str) -> bool:
    """Whether credentials may come from *url*: by TLS, or from where no machine listens in."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return bool(host)
    if parts.scheme != "http":
        return False
    try:
        return host in _OPEN_HOSTS or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""From the tables of the settings to the access to a broker that connectors and sinks share.

An adapter, and the library behind it, is imported only if a table names its broker.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tocsin.settings.broker_tables import BrokerTable, KafkaAccess, SqsAccess
from tocsin.settings.setting import SettingProblem, SettingsError

if TYPE_CHECKING:
    from tocsin.persistence.brokers.aws_role import AwsRole
    from tocsin.persistence.brokers.aws_signature import AwsCredentials
    from tocsin.persistence.brokers.kafka_calls import KafkaBrokers
    from tocsin.persistence.brokers.sqs_client import SqsPlace

_AWS_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def kafka_brokers(access: KafkaAccess) -> KafkaBrokers:
    """The brokers of a table, whose library is there (`needs`)."""
    from tocsin.persistence.brokers.kafka_calls import KafkaBrokers

    return KafkaBrokers(
        servers=access.servers,
        security=access.security.upper(),
        sasl="" if access.sasl == "none" else access.sasl.upper(),
        user=access.user,
        password=access.password,
        ca_file=access.ca_file,
    )


def sqs_place(family: str, table: BrokerTable, access: SqsAccess) -> SqsPlace:
    """The queue of *table*, whose *access* it is. Raises `SettingsError`."""
    from tocsin.persistence.brokers.aws_signature import AwsCredentials
    from tocsin.persistence.brokers.sqs_client import SqsPlace

    if not access.region_of_queue:
        raise table_problem(family, table, "whose region is not known", "name its region")
    if bool(access.access_key) != bool(access.secret_key):
        wrong, remedy = "which has one of access_key and secret_key", "give both, or neither"
        raise table_problem(family, table, wrong, remedy)
    if access.access_key:
        credentials: AwsCredentials | AwsRole | None
        credentials = AwsCredentials(access.access_key, access.secret_key)
    else:
        credentials = _of_environment(family, table, access)
    if credentials is None:
        remedy = (
            "give access_key and secret_key, set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or say "
            'credentials = "instance" for the role of an EC2 instance'
        )
        raise table_problem(family, table, "which has no credentials", remedy)
    return SqsPlace(
        url=access.queue_url,
        region=access.region_of_queue,
        credentials=credentials,
        ca_file=access.ca_file,
    )


def _of_environment(
    family: str, table: BrokerTable, access: SqsAccess
) -> AwsCredentials | AwsRole | None:
    """The credentials that the environment names, if it names any; raises `SettingsError`."""
    from tocsin.persistence.brokers.aws_environment import grant_of
    from tocsin.persistence.brokers.aws_role import AwsRole
    from tocsin.persistence.brokers.aws_signature import AwsCredentials

    found = AwsCredentials(*(os.environ.get(name, "") for name in _AWS_VARIABLES))
    is_instance = access.credentials == "instance"
    if found.key and found.secret and not is_instance:
        return found
    try:
        grant = grant_of(os.environ, access.region_of_queue, instance=is_instance)
    except ValueError as error:
        wrong, remedy = f"for which the environment has {error}", "mend the variable"
        raise table_problem(family, table, wrong, remedy) from None
    return None if grant is None else AwsRole(grant, time.time)


@contextmanager
def needs(family: str, extra: str, table: BrokerTable) -> Iterator[None]:
    """Raise `SettingsError` if the block cannot import the library of the package's *extra*, which
    *table* of the setting *family* needs.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        wrong, remedy = f"and {error.name} is not installed", f"pip install 'tocsin[{extra}]'"
        raise table_problem(family, table, wrong, remedy) from error


def table_problem(family: str, table: BrokerTable, wrong: str, remedy: str) -> SettingsError:
    """The error for *table* of the setting *family*; *wrong* follows upon its name and kind."""
    text = f"name {table.name}, a {table.KIND}, {wrong}"
    return SettingsError(SettingProblem((family,), text, f"{remedy}, or take the table out"))

"""Credentials of roles of AWS: asked for in time, kept, and renewed before they end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import trio

from tests.outbound.receiver_kit import Behaviour, Receiver, floods, hangs, hangs_up, says
from tocsin.persistence.brokers.aws_environment import grant_of
from tocsin.persistence.brokers.aws_role import (
    AwsRole,
    ContainerGrant,
    InstanceGrant,
    WebIdentity,
)
from tocsin.persistence.brokers.aws_signature import AwsCredentials
from tocsin.persistence.brokers.sqs_client import SqsPlace, open_sqs
from tocsin.persistence.source import SourceAway, SourceRefused

NOW = 1_700_000_000.0
HOUR = 3600.0
DENIED = (
    "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not &lt;you&gt;</Message></Error>"
    "</ErrorResponse>"
)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def answer(body: str | Mapping[str, Any], status: int = 200) -> bytes:
    text = (body if isinstance(body, str) else json.dumps(body)).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(text), text)


def document(key: str = "AKID", until: float = NOW + HOUR) -> dict[str, str]:
    end = datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "Code": "Success",
        "AccessKeyId": key,
        "SecretAccessKey": "a-secret",
        "Token": "a-token",
        "Expiration": end,
    }


def sts(key: str = "AKID", until: str = "2023-11-14T23:13:20Z") -> str:
    return (
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
        f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>a-secret</SecretAccessKey>"
        f"<SessionToken>a&amp;token</SessionToken><Expiration>{until}</Expiration>"
        "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )


def in_turn(*answers: bytes) -> Behaviour:
    """A behaviour: to give *answers* one after the other, over all connections."""
    left = list(answers)

    async def behave(stream: trio.abc.Stream) -> None:
        await stream.send_all(left.pop(0))

    return behave


@pytest.fixture
async def receiver(nursery) -> Receiver:
    made = Receiver()
    await nursery.start(made.serve)
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


def address(receiver: Receiver) -> str:
    return f"http://127.0.0.1:{receiver.port}"


def container(receiver: Receiver, clock: Clock, **more: str) -> AwsRole:
    return AwsRole(ContainerGrant(f"{address(receiver)}/creds?id=1", **more), clock)


# --- The three ways -------------------------------------------------------------------------------


async def test_a_container_asks_the_address_that_its_environment_names(receiver, clock, tmp_path):
    receiver.behave = says(answer(document()))
    (tmp_path / "word").write_text("Bearer of-pod\n")
    role = container(receiver, clock, authorization_file=str(tmp_path / "word"))
    assert await role.credentials() == AwsCredentials("AKID", "a-secret", "a-token")
    [request] = receiver.requests
    assert request.startswith(b"GET /creds?id=1 HTTP/1.1")
    assert b"authorization: Bearer of-pod\r\n" in request


async def test_an_instance_asks_the_second_version_of_the_metadata_service(receiver, clock):
    role_name = answer("app-role\n")
    receiver.behave = in_turn(answer("metadata-token"), role_name, answer(document()))
    role = AwsRole(InstanceGrant(address(receiver)), clock)
    assert (await role.credentials()).key == "AKID"
    put, names, found = receiver.requests
    assert put.startswith(b"PUT /latest/api/token")
    assert names.startswith(b"GET /latest/meta-data/iam/security-credentials/ ")
    assert found.startswith(b"GET /latest/meta-data/iam/security-credentials/app-role ")
    assert b"x-aws-ec2-metadata-token: metadata-token" in found


async def test_web_identity_exchanges_the_token_that_is_in_the_file_by_then(
    receiver, clock, tmp_path
):
    file = tmp_path / "token"
    role = AwsRole(WebIdentity(f"{address(receiver)}/", str(file), "arn:aws:r/1", "tocsin"), clock)
    for number in (1, 2):
        file.write_text(f"jwt-{number}")
        receiver.behave = says(answer(sts(f"KEY{number}")))
        assert await role.credentials() == AwsCredentials(f"KEY{number}", "a-secret", "a&token")
        role.forget()
    first, second = receiver.requests
    assert b"Action=AssumeRoleWithWebIdentity" in first
    assert b"RoleArn=arn%3Aaws%3Ar%2F1" in first
    assert b"WebIdentityToken=jwt-1" in first
    assert b"WebIdentityToken=jwt-2" in second


# --- Keeping and renewing -------------------------------------------------------------------------


async def test_credentials_are_kept_and_renewed_before_they_end(receiver, clock):
    second = document("second", NOW + 3 * HOUR)
    receiver.behave = in_turn(answer(document("first")), answer(second))
    role = container(receiver, clock)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(role.credentials)
    clock.now = NOW + HOUR - 601
    assert (await role.credentials()).key == "first"
    assert len(receiver.requests) == 1
    clock.now = NOW + HOUR - 599
    assert (await role.credentials()).key == "second"


async def test_while_renewing_fails_those_at_hand_are_used_until_they_end(receiver, clock):
    receiver.behave = in_turn(answer(document("first")), answer("", 503), answer("", 503))
    role = container(receiver, clock)
    await role.credentials()
    clock.now = NOW + HOUR - 500
    assert (await role.credentials()).key == "first"
    assert (await role.credentials()).key == "first"
    assert len(receiver.requests) == 2
    clock.now = NOW + HOUR
    with pytest.raises(SourceAway, match="credentials: status 503"):
        await role.credentials()


async def test_credentials_that_the_service_refuses_are_asked_for_anew(receiver, clock):
    said = {"__type": "x#ExpiredToken", "message": "m"}
    receiver.behave = in_turn(
        answer(document("first")), answer(said, 403), answer(document("second")), answer({})
    )
    role = container(receiver, clock)
    place = SqsPlace(url=f"{address(receiver)}/1/q", region="eu-west-1", credentials=role)
    async with open_sqs(place) as client:
        with pytest.raises(SourceRefused, match="ExpiredToken"):
            await client.call("GetQueueAttributes")
        await client.call("GetQueueAttributes")
    assert b"Credential=first/" in receiver.requests[1]
    assert b"Credential=second/" in receiver.requests[3]
    assert b"x-amz-security-token: a-token" in receiver.requests[3]


# --- When it fails --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behave", "error", "said"),
    [
        (says(answer(DENIED, 403)), SourceRefused, "status 403 AccessDenied: not <you>"),
        (says(answer({"code": "x", "Code": "NoRole", "Message": "m"}, 404)), SourceRefused, "NoR"),
        (says(answer({"Code": "Failed", "Message": "m"})), SourceRefused, "Failed: m"),
        (says(answer(document() | {"Expiration": "soon"})), SourceRefused, "without an end"),
        (says(answer(document() | {"Token": ""})), SourceRefused, "no credentials"),
        (says(answer(document() | {"AccessKeyId": "a\nb"})), SourceRefused, "no credentials"),
        (says(answer("\xff")), SourceRefused, "no credentials"),
        (says(answer("", 500)), SourceAway, "status 500"),
        (says(answer("", 429)), SourceAway, "status 429"),
        (hangs_up, SourceAway, "RemoteProtocolError"),
        (floods, SourceAway, "exceeds"),
    ],
)
async def test_an_answer_without_credentials_says_whose_matter_it_is(
    receiver, clock, behave, error, said
):
    receiver.behave = behave
    with pytest.raises(error, match=said) as raised:
        await container(receiver, clock).credentials()
    assert str(raised.value).startswith("credentials: ")
    assert "a-secret" not in str(raised.value)


async def test_a_service_that_hangs_is_left_in_time(receiver, clock):
    receiver.behave = hangs
    role = AwsRole(ContainerGrant(address(receiver)), clock, timeout=0.1)
    with pytest.raises(SourceAway, match="no answer within"):
        await role.credentials()


async def test_a_role_that_the_instance_does_not_have_is_said(receiver, clock):
    receiver.behave = in_turn(answer("token"), answer("../../evil"))
    with pytest.raises(SourceRefused, match="has no role"):
        await AwsRole(InstanceGrant(address(receiver)), clock).credentials()


async def test_a_token_file_that_cannot_be_used_is_said(receiver, clock, tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff")
    for name, said in (("none", "No such file"), ("binary", "no token")):
        grant = WebIdentity(address(receiver), str(tmp_path / name), "arn", "tocsin")
        with pytest.raises(SourceRefused, match=said):
            await AwsRole(grant, clock).credentials()
    assert receiver.requests == []


# --- What the environment names -------------------------------------------------------------------

CONTAINER = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"}
PODS = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}
FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({}, type(None)),
        (CONTAINER, ContainerGrant),
        (PODS, WebIdentity),
        (CONTAINER | PODS, WebIdentity),
        ({FULL: "http://169.254.170.23/v1/credentials"}, ContainerGrant),
        ({FULL: "http://127.0.0.1:4000/"}, ContainerGrant),
        ({FULL: "https://agent.example/"}, ContainerGrant),
    ],
)
def test_the_way_to_a_role_is_the_one_that_the_environment_names(environment, kind):
    assert type(grant_of(environment, "eu-west-1", instance=False)) is kind
    assert isinstance(grant_of(environment, "eu-west-1", instance=True), InstanceGrant)


@pytest.mark.parametrize(
    "environment",
    [
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"},
        {FULL: "http://10.0.0.1/"},
        {FULL: "http://agent.example/"},
        {FULL: "file:///etc/passwd"},
    ],
)
def test_a_variable_that_would_give_credentials_away_is_refused(environment):
    with pytest.raises(ValueError, match="AWS_"):
        grant_of(environment, "eu-west-1", instance=False)

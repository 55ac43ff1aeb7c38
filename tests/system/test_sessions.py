"""How a connection proves who it is, stays alive, and ends."""

from __future__ import annotations

import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from servers.node import PATIENCE
from servers.tokens import ADMIN, SECRET, bearer, token
from tests.system.device_kit import Device
from tests.system.producer_kit import expect_json, expect_problem
from tests.system.raw_kit import PING, PONG, TEXT, Wire, frame
from tests.system.server_kit import Server, fresh_user

any_store = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True, scope="session")
"""For what takes its time and is the same on every store."""


def buy_ticket(server: Server, user: str, **claims: Any) -> str:
    answer = server.http.post("/v1/tickets", headers=bearer(token(user, **claims)))
    ticket: str = expect_json(answer, 201)["ticket"]
    return ticket


def expect_unauthenticated(device: Device) -> None:
    device.hello()
    device.expect_goodbye(4401)


# --- Identity -------------------------------------------------------------------------------------


def test_the_token_may_come_in_the_hello(server: Server, ada):
    with server.connect() as phone:
        phone.hello("phone", token=token(ada))
        phone.expect_welcome(user=ada, device="phone")


def test_a_ticket_opens_one_connection(server: Server, ada):
    ticket = buy_ticket(server, ada)
    with server.connect(query=f"?ticket={ticket}") as phone:
        phone.hello("phone")
        phone.expect_welcome(user=ada)

    with server.connect(query=f"?ticket={ticket}") as thief:
        expect_unauthenticated(thief)


def test_of_two_that_use_a_ticket_at_once_one_comes_in(server: Server, ada):
    ticket = buy_ticket(server, ada)
    devices = [server.connect(query=f"?ticket={ticket}") for _ in range(6)]
    for number, device in enumerate(devices):
        device.hello(f"device-{number}")
    firsts = [device.receive()["type"] for device in devices]
    for device in devices:
        device.close()
    assert sorted(firsts) == ["goodbye"] * 5 + ["welcome"]


def test_a_ticket_does_not_keep(hasty: Server, ada):
    answer = expect_json(hasty.http.post("/v1/tickets", headers=bearer(token(ada))), 201)
    assert answer["expires_at"].endswith("Z")
    time.sleep(0.6)  # waits for: the ticket's lifetime of 0.5 s
    with hasty.connect(query=f"?ticket={answer['ticket']}") as late:
        expect_unauthenticated(late)


@pytest.mark.parametrize("ticket", ["", "tt_", "tt_nonsense", "%00", "x" * 3000, "tt_%F0%9F%92%A3"])
def test_a_text_that_is_no_ticket_opens_nothing(server: Server, ticket):
    with server.connect(query=f"?ticket={ticket}") as device:
        expect_unauthenticated(device)


@any_store
def test_a_ticket_does_not_outlive_the_token_it_was_bought_with(server: Server, ada):
    ticket = buy_ticket(server, ada, lifetime=1.5)
    with server.connect(query=f"?ticket={ticket}") as phone:
        phone.hello()
        phone.expect_welcome()
        phone.expect_goodbye(4401, patience=5)


def bad_tokens() -> dict[str, str]:
    user, expiry = "ada", time.time() + 3600
    good = {"sub": user, "exp": expiry}
    rsa_key = rsa.generate_private_key(65537, 2048)
    head, payload, signature = token(user).split(".")
    return {
        "expired": token(user, lifetime=-1),
        "expired long ago": token(user, lifetime=-1e9),
        "another secret": jwt.encode(good, "x" * 40, "HS256"),
        "no signature": jwt.encode(good, "", "none"),
        "signature cut off": f"{head}.{payload}.",
        "signature of another payload": f"{head}.{token('eve').split('.')[1]}.{signature}",
        "another algorithm": jwt.encode(good, rsa_key, "RS256"),
        "another hash": jwt.encode(good, SECRET + "x" * 64, "HS512"),
        "no expiry": jwt.encode({"sub": user}, SECRET, "HS256"),
        "expiry that is text": jwt.encode({**good, "exp": str(expiry)}, SECRET, "HS256"),
        "expiry that is infinite": jwt.encode({**good, "exp": 1e308}, SECRET, "HS256"),
        "no user": jwt.encode({"exp": expiry}, SECRET, "HS256"),
        "user that cannot be one": token("a b\n"),
        "not valid yet": token(user, nbf=expiry - 60),
        "a header that names its own key": jwt.encode(
            good, SECRET, "HS256", headers={"jku": "http://127.0.0.1:1/", "kid": "../../x"}
        )[:-2],
        "nothing": "",
        "not a token": "nonsense",
        "a million dots": "." * 8000,
        "too long": "e" * 8193,
    }  # fmt: skip


@pytest.fixture(scope="module")
def tokens() -> dict[str, str]:
    return bad_tokens()


NAMES_OF_BAD_TOKENS = list(bad_tokens())


@pytest.mark.parametrize("name", NAMES_OF_BAD_TOKENS)
def test_a_bad_token_is_refused_everywhere(server: Server, tokens, name):
    bad = tokens[name]
    if bad:
        problem = expect_problem(server.http.get("/v1/inbox", headers=bearer(bad)), 401)
        assert bad[:20] not in str(problem)
        with server.connect(headers=bearer(bad)) as device:
            expect_unauthenticated(device)
    if len(bad) <= 8192:
        with server.connect() as device:
            device.hello("phone", token=bad)
            device.expect_goodbye(4401)


def test_a_refusal_says_how_to_authenticate(server: Server):
    answer = server.http.get("/v1/inbox")
    expect_problem(answer, 401, "token_missing")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "value",
    ["Basic YWRhOmFkYQ==", "Bearer", "bearer a b", "Bearer\ta", "Token x", "\xff\xfe"],
)
def test_other_authorization_is_refused(server: Server, value):
    answer = server.http.get("/v1/inbox", headers={"Authorization": value.encode("latin-1")})
    expect_problem(answer, 401)


def test_two_credentials_are_none(server: Server, ada):
    headers = [("Authorization", f"Bearer {token(ada)}")] * 2
    expect_problem(httpx.get(f"{server.url}/v1/inbox", headers=headers, timeout=PATIENCE), 401)
    double = [f"Authorization: Bearer {token('eve')}"]
    with Wire(server) as wire:
        wire.upgrade(ada, headers=double)
        wire.say("hello", device="phone")
        wire.expect_goodbye(4401)


def test_audience_and_issuer_are_checked_if_they_are_set(start_server, ada):
    server = start_server(jwt_audience="tocsin", jwt_issuer="https://login.example")
    good = token(ada, aud="tocsin", iss="https://login.example")
    assert server.http.get("/v1/inbox", headers=bearer(good)).status_code == 200
    for claims in (
        {},
        {"aud": "other", "iss": "https://login.example"},
        {"aud": "tocsin"},
        {"aud": "tocsin", "iss": "https://evil.example"},
        {"aud": ["x", "y"], "iss": "https://login.example"},
        {"aud": {"tocsin": 1}, "iss": "https://login.example"},
    ):
        bad = bearer(token(ada, **claims))
        expect_problem(server.http.get("/v1/inbox", headers=bad), 401)


def test_a_public_key_is_no_shared_secret(start_server, ada):
    """The classic confusion of algorithms: HMAC with the public key as its secret."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    server = start_server(
        environment={"TOCSIN_JWT_SECRET": "", "TOCSIN_JWT_PUBLIC_KEY": pem.decode()}
    )
    claims = {"sub": ada, "exp": time.time() + 60}
    good = jwt.encode(claims, key, "ES256")
    assert server.http.get("/v1/inbox", headers=bearer(good)).status_code == 200

    for forged in (hmac_signed(claims, pem), jwt.encode(claims, "", "none"), token(ada)):
        expect_problem(server.http.get("/v1/inbox", headers=bearer(forged)), 401)


def hmac_signed(claims: dict[str, Any], secret: bytes) -> str:
    """As `jwt.encode` would, which refuses to use a public key so."""
    import hashlib
    import hmac
    import json
    from base64 import urlsafe_b64encode

    def spelled(data: bytes) -> str:
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    head = spelled(b'{"alg":"HS256","typ":"JWT"}')
    signed = f"{head}.{spelled(json.dumps(claims).encode())}"
    return f"{signed}.{spelled(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


# --- How long ------------------------------------------------------------------------------------


@any_store
def test_a_session_ends_with_its_token(server: Server, ada):
    with server.connect(headers=bearer(token(ada, lifetime=1.5))) as phone:
        phone.hello()
        phone.expect_welcome()
        goodbye = phone.expect_goodbye(4401, patience=5)
        assert goodbye["reason"] == "unauthenticated"


@any_store
def test_a_refreshed_session_goes_on(server: Server, ada):
    started = time.monotonic()
    with server.connect(headers=bearer(token(ada, lifetime=1.5))) as phone:
        phone.hello()
        phone.expect_welcome()
        phone.expect_synced()
        phone.send("refresh", token=token(ada), request="r")
        phone.expect("reply", request="r", ok=True)
        while time.monotonic() < started + 2.5:
            phone.expect_nothing_before_pong()
            time.sleep(0.1)  # waits for: the first token's end


@pytest.mark.parametrize(
    ("with_", "code"), [("nonsense", 4401), ("expired", 4401), ("somebody else's", 4403)]
)
def test_a_bad_refresh_ends_the_session(phone: Device, ada, with_, code):
    fresh = {
        "nonsense": "nonsense",
        "expired": token(ada, lifetime=-1),
        "somebody else's": token(fresh_user("eve")),
    }[with_]
    phone.send("refresh", token=fresh)
    phone.expect_goodbye(code)


@any_store
def test_a_silent_client_is_let_go(hasty: Server, ada):
    with hasty.connect(ada) as phone:
        goodbye = phone.expect_goodbye(4408, patience=5)
        assert goodbye["reason"] == "hello_timeout"


@any_store
def test_an_unfinished_hello_is_none(hasty: Server, ada):
    with Wire(hasty) as wire:
        wire.upgrade(ada)
        wire.send(frame(TEXT, b'{"type":"hello"', final=False))
        wire.expect_goodbye(4408)


@any_store
def test_pings_before_hello_buy_no_time(hasty: Server, ada):
    deadline = time.monotonic() + 5
    with Wire(hasty) as wire:
        wire.upgrade(ada)
        while time.monotonic() < deadline:
            wire.send(frame(PING, b""))
            opcode, _ = wire.read_frame()
            if opcode != PONG:
                break
            time.sleep(0.05)  # waits for: the hello time-out of 0.5 s
        else:
            raise AssertionError("it is still open")


@any_store
def test_a_device_that_answers_no_pings_is_taken_for_gone(hasty: Server, ada):
    with Wire(hasty) as wire:
        wire.upgrade(ada)
        wire.say("hello", device="phone")
        assert wire.read_text()["heartbeat"] == 0.5
        assert wire.read_text()["type"] == "synced"
        pings = 0
        while (opcode := wire.read_frame()[0]) == PING:
            pings += 1
        assert pings == 2
        assert opcode == TEXT  # the goodbye
        opcode, payload = wire.read_frame()
        assert int.from_bytes(payload[:2], "big") == 4003


@any_store
def test_a_device_that_answers_pings_stays(hasty: Server, ada):
    with hasty.device(ada) as phone:  # its library answers
        phone.expect_synced()
        time.sleep(1.3)  # waits for: two heartbeats
        phone.expect_nothing_before_pong()


@any_store
def test_any_frame_is_a_sign_of_life(hasty: Server, ada):
    """Also from a client that cannot answer WebSocket pings, as long as it says anything."""
    with Wire(hasty) as wire:
        wire.upgrade(ada)
        wire.say("hello", device="phone")
        for _ in range(14):
            wire.say("ping")
            while wire.read_text()["type"] != "pong":
                pass
            time.sleep(0.1)  # waits for: two heartbeats, in all


def test_the_server_answers_websocket_pings(server: Server, ada):
    with Wire(server) as wire:
        wire.upgrade(ada)
        wire.send(frame(PING, b"are you there"))
        assert wire.read_frame() == (PONG, b"are you there")


def test_an_operator_ends_all_connections_of_a_user(server: Server, ada):
    phone, laptop = server.device(ada, "phone"), server.device(ada, "laptop")
    other = server.device(fresh_user("eve"))
    answer = server.http.post(f"/v1/admin/users/{ada}/disconnect", headers=bearer(ADMIN))
    assert answer.status_code == 204, answer.text
    for device in (phone, laptop):
        device.expect_goodbye(4410)
        device.close()
    other.expect_synced()
    other.close()

"""The documents of the server about itself, held against its behaviour."""

from __future__ import annotations

import re
from typing import Any

import httpx
import jsonschema_rs
import pytest

from servers.node import wait_until
from servers.tokens import ADMIN, bearer
from tests.system.device_kit import Device, Frame
from tests.system.person_kit import Person
from tests.system.plain_http_kit import poll, stream
from tests.system.producer_kit import Producer, expect_json
from tests.system.server_kit import Server, fresh_user
from tests.system.test_producing import create_key

DOCUMENTS = ["/openapi.json", "/asyncapi.json"]
# Its other fields depend on the event, and it says so.
OPEN = {"LetterEvent"}


class Contract:
    """Both documents, read as strictly as can be: what they do not name must not be there."""

    def __init__(self, server: Server) -> None:
        self.http, self.frames = (
            strict(expect_json(server.http.get(path, headers=bearer(ADMIN)))) for path in DOCUMENTS
        )

    def expect_answer(self, answer: httpx.Response) -> None:
        """*answer* is one that the OpenAPI document has for its request."""
        request = answer.request
        responses = self._operation(request.method, request.url.path)["responses"]
        assert str(answer.status_code) in responses, answer.text
        described = responses[str(answer.status_code)]
        content = described.get("content", {})
        if not content:
            assert answer.content == b""
            return
        media_type = answer.headers["Content-Type"].partition(";")[0]
        assert media_type in content
        if media_type.endswith("json"):
            validate(self.http, content[media_type]["schema"], answer.json())

    def expect_frame(self, frame: Frame) -> None:
        """*frame* is one that the AsyncAPI document has."""
        messages = self.frames["components"]["messages"]
        named = [each for each in messages.values() if each["name"] == frame["type"]]
        payloads = {"oneOf": [each["payload"] for each in named]}
        validate(self.frames, payloads, frame)

    def _operation(self, method: str, path: str) -> dict[str, Any]:
        paths = [each for each in self.http["paths"] if fits(each, path)]
        # /v1/inbox/mark also looks like /v1/inbox/{notification}.
        path = min(paths, key=lambda each: "{" in each)
        operation: dict[str, Any] = self.http["paths"][path][method.lower()]
        return operation


def strict(document: dict[str, Any]) -> dict[str, Any]:
    for name, schema in document["components"]["schemas"].items():
        if "properties" in schema and name not in OPEN:
            schema.setdefault("additionalProperties", False)
    return document


def fits(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path) is not None


def validate(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    whole = {**schema, "components": document["components"]}
    jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(value)


@pytest.fixture(scope="module")
def contract(server: Server) -> Contract:
    return Contract(server)


# --- Readers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_for_programs_are_for_everybody_as_the_page_is(server: Server, path):
    answer = server.http.get(path)
    assert answer.headers["Content-Type"] == "application/json"
    assert expect_json(answer)["info"]["title"] == "Tocsin"
    assert server.http.get(path, headers=bearer(ADMIN)).content == answer.content


@pytest.mark.parametrize(("path", "says"), [("/", "/docs"), ("/docs", "/v1/notifications")])
def test_the_pages_are_for_everybody(server: Server, path, says):
    answer = server.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert says in answer.text
    head = server.http.head(path)
    assert int(head.headers["Content-Length"]) == len(answer.content)


def test_the_icon_is_one(server: Server):
    answer = server.http.get("/favicon.ico")
    assert answer.headers["Content-Type"] == "image/x-icon"
    assert answer.content[:4] == b"\0\0\1\0"  # an ICO
    assert b"\x89PNG" in answer.content


def test_json_ends_with_a_line_end_whoever_answers(server: Server, producer: Producer, ada):
    """For people with curl: the door answers some calls, Quart others, and both refuse some."""
    posted = producer.try_post(ada)
    for answer in (
        posted,  # of the door
        producer.request("GET", f"/v1/notifications/{posted.json()['id']}"),  # of Quart
        producer.request("POST", "/v1/notifications", json={}),
        producer.request("GET", "/v1/notifications/x"),
        server.http.get("/livez"),
        server.http.get("/openapi.json"),
        server.http.get("/nowhere"),
        server.http.get("/v1/inbox"),
    ):
        assert answer.content.endswith(b"}\n")
        assert int(answer.headers["Content-Length"]) == len(answer.content)
    head = server.http.head("/livez")
    assert int(head.headers["Content-Length"]) == len(server.http.get("/livez").content)


# --- Answers --------------------------------------------------------------------------------------


def test_answers_to_a_producer_are_what_the_document_says(
    server: Server, contract: Contract, producer: Producer, ada
):
    drafts = [{"to": {"users": [ada]}, "title": "One", "data": {"a": [1]}, "ttl": 60}, {"title": 1}]
    topic = fresh_user("topic")
    first = producer.try_post(ada, title="Hello", headers={"Idempotency-Key": ada})
    contract.expect_answer(first)
    notification = first.json()["id"]
    path = f"/v1/notifications/{notification}"
    with server.device(ada) as phone:
        phone.ack(phone.expect_push("Hello"))
    for method, where, options in (
        ("POST", "/v1/notifications", {"json": {"to": {"topic": topic}, "title": "Topic"}}),
        (
            "POST",
            "/v1/notifications",
            {"json": {"to": {"users": [ada], "all": True}, "title": "x"}},
        ),
        ("POST", "/v1/notifications/batch", {"json": drafts}),
        ("POST", "/v1/notifications/batch", {"content": b"", "headers": {"Content-Type": "a/b"}}),
        ("PUT", f"/v1/topics/{topic}/subscribers/{ada}", {}),
        ("POST", f"/v1/topics/{topic}/subscribers", {"json": {"users": ["grace"]}}),
        ("GET", f"/v1/topics/{topic}/subscribers?limit=1", {}),
        ("DELETE", f"/v1/topics/{topic}/subscribers/grace", {}),
        ("GET", path, {}),
        ("GET", f"{path}/deliveries", {}),
        ("PATCH", path, {"json": {"title": "Changed"}, "headers": {"If-Match": '"1"'}}),
        ("PATCH", path, {"json": {"title": "Again"}, "headers": {"If-Match": '"1"'}}),
        ("DELETE", path, {}),
        ("PATCH", path, {"json": {"title": "Too late"}}),
        ("GET", "/v1/notifications/unknown", {}),
    ):
        contract.expect_answer(producer.request(method, where, **options))


def test_answers_to_a_user_are_what_the_document_says(
    server: Server, contract: Contract, producer: Producer, ada
):
    person = Person(server, ada)
    notification = producer.post(ada, title="Hello", category="chat", url="https://example.com")
    page = poll(server, ada, device="phone")
    etag = person.request("GET", "/v1/inbox").headers["ETag"]
    for method, where, options in (
        ("GET", "/v1/inbox?limit=1", {}),
        ("GET", "/v1/inbox", {"headers": {"If-None-Match": etag}}),
        ("GET", f"/v1/inbox/{notification}", {}),
        ("POST", "/v1/inbox/mark", {"json": {"state": "read", "all": True}}),
        ("POST", "/v1/inbox/mark", {"json": {"state": "read"}}),
        ("POST", "/v1/inbox/ack", {"json": {"device": "phone", "cursor": page["cursor"]}}),
        ("POST", "/v1/inbox/ack", {"json": {"device": "nobody", "cursor": page["cursor"]}}),
        ("GET", "/v1/inbox/changes?device=phone&cursor=0", {}),
        ("GET", "/v1/inbox/changes?device=phone&cursor=other.1", {}),
        ("GET", "/v1/inbox/changes?device=phone&cursor=x", {}),
        ("PUT", "/v1/me/preferences", {"json": {"categories": {"chat": False}}}),
        ("GET", "/v1/me/preferences", {}),
        ("PUT", "/v1/me/subscriptions/news", {}),
        ("GET", "/v1/me/subscriptions", {}),
        ("DELETE", "/v1/me/subscriptions/news", {}),
        ("GET", "/v1/me/devices", {}),
        ("DELETE", "/v1/me/devices/phone", {}),
        ("DELETE", "/v1/me/devices/phone", {}),
        ("POST", "/v1/tickets", {}),
        ("GET", "/v1/notifications/x", {}),
        ("GET", "/v1/admin/actors", {}),
    ):
        contract.expect_answer(person.request(method, where, **options))


def test_answers_to_an_operator_are_what_the_document_says(
    server: Server, contract: Contract, producer: Producer, ada
):
    operator = Producer(server.http, ADMIN)
    producer.post(ada, title="Too late", ttl=0.05)
    found = wait_until(
        lambda: operator.request("GET", f"/v1/admin/dead-letters?user={ada}").json()["dead_letters"]
    )
    letter = f"/v1/admin/dead-letters/{found[0]['id']}"
    for method, where in (
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/favicon.ico"),
        ("GET", "/openapi.json"),
        ("GET", "/asyncapi.json"),
        ("GET", "/tocsin.proto"),
        ("GET", "/v1/admin/actors"),
        ("GET", f"/v1/admin/dead-letters?user={ada}"),
        ("GET", letter),
        ("POST", f"{letter}/replay"),
        ("DELETE", letter),
        ("POST", f"{letter}/replay"),
        ("GET", "/v1/admin/dead-letters/987654321"),
        ("POST", f"/v1/admin/users/{ada}/disconnect"),
    ):
        contract.expect_answer(operator.request(method, where))


# --- Pushes ---------------------------------------------------------------------------------------


def test_frames_are_what_the_document_says(
    server: Server, contract: Contract, producer: Producer, ada
):
    with server.connect(ada) as phone:
        phone.hello("phone", cursor="other.7")
        phone.expect_welcome()
        phone.expect("reset")
        phone.expect("synced")
        notification = producer.post(ada, title="Hello", data=[1, {"a": None}])
        phone.ack(phone.expect_push("Hello"))
        phone.send("mark", request="r1", state="read", ids=[notification])
        # Either may come first.
        assert {phone.receive()["type"], phone.receive()["type"]} == {"reply", "push"}
        producer.withdraw(notification)
        phone.expect_push(change="withdrawn")
        phone.publish(7, {"title": "Not mine to say"})
        phone.send("ping")
        phone.expect("pong")
        phone.send("ack", nonsense=True)
        phone.expect_goodbye(4400)
    expect_all(contract, phone, {"welcome", "reset", "synced", "push", "reply", "pong", "goodbye"})


def test_a_producers_welcome_is_what_the_document_says(server: Server, contract: Contract, ada):
    with server.connect(headers=bearer(create_key(server, "notify"))) as socket:
        socket.hello()
        socket.expect_welcome()
        reply = socket.publish("r1", {"to": {"users": [ada]}, "title": "From a socket"})
        assert reply["ok"]
    expect_all(contract, socket, {"welcome", "reply"})


def test_events_are_what_the_document_says(server: Server, contract: Contract, producer, ada):
    with stream(server, ada, cursor="other.7") as events:
        names = []
        for event in events:
            contract.expect_frame(event.data)
            names.append(event.name)
            if event.name == "synced":
                producer.post(ada, title="Hello")
            if event.name == "push":
                break
    assert names == ["welcome", "reset", "synced", "push"]


def test_a_frame_that_the_document_has_not_is_seen(contract: Contract):
    with pytest.raises(jsonschema_rs.ValidationError):
        contract.expect_frame({"type": "synced", "sequence": 1, "more": True})


def expect_all(contract: Contract, device: Device, types: set[str]) -> None:
    """All frames that *device* has seen are of the document, and these types were among them."""
    for frame in device.seen:
        contract.expect_frame(frame)
    assert {frame["type"] for frame in device.seen} >= types

"""The webhook of an operator as a channel."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from tests.carriers.test_mail import parcel
from tocsin.carriers.webhook import WebhookCarrier, checked_address
from tocsin.protocol.channels.carrying import Accepted, ChannelDown, Rejected, TryLater
from tocsin.protocol.outbound import OutboundAnswer, OutboundFailed
from tocsin.protocol.receipts.sink import Secret
from tocsin.protocol.receipts.webhook import new_secret, signed_headers

SECRET = new_secret(b"s" * 32)
URL = "https://duty.example.org/tocsin"


class Receiver:
    """An outbound port with one receiver behind it, which answers as it is told."""

    def __init__(self, answer: OutboundAnswer | OutboundFailed) -> None:
        self._answer = answer
        self.got: list[tuple[str, Mapping[str, str], bytes]] = []

    async def check(self, url: str) -> None: ...

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> OutboundAnswer:
        self.got.append((url, headers, body))
        if isinstance(self._answer, OutboundFailed):
            raise self._answer
        return self._answer


async def test_the_message_is_signed_and_the_same_when_it_is_sent_again():
    receiver = Receiver(OutboundAnswer(204))
    carrier = WebhookCarrier(receiver, URL, SECRET)
    sent = parcel("one", "two")

    assert await carrier.carry(sent) == Accepted()
    await carrier.carry(sent)

    [(url, headers, body), again] = receiver.got
    assert (url, body) == (URL, again[2])
    assert headers == signed_headers("n.1.0.abc", body, [Secret(SECRET)], sent.now_ms)
    message = msgspec.json.decode(body)
    assert message["type"] == "notification.escalated"
    assert message["data"]["address"] == "ada@example.org"
    assert [each["title"] for each in message["data"]["notifications"]] == ["one", "two"]


@pytest.mark.parametrize(
    ("answer", "carried"),
    [
        (OutboundAnswer(200), Accepted()),
        (OutboundAnswer(302), TryLater("302")),
        (OutboundAnswer(408), TryLater("408")),
        (OutboundAnswer(503, {"retry-after": "7"}), TryLater("503", 7.0)),
        (OutboundAnswer(503, {"retry-after": "Mon, 30 Nov 2026"}), TryLater("503")),
        (OutboundAnswer(429, {"retry-after": "7"}), ChannelDown("429", 7.0)),
        (OutboundAnswer(401), ChannelDown("401", refused=True)),
        (OutboundAnswer(422), Rejected("422")),
        (OutboundFailed("timeout", "late"), TryLater("timeout: late")),
        (OutboundFailed("no_connection", "x"), ChannelDown("no_connection: x")),
        (
            OutboundFailed("forbidden_address", "x"),
            ChannelDown("forbidden_address: x", refused=True),
        ),
    ],
)
async def test_each_answer_is_what_it_means(answer, carried):
    assert await WebhookCarrier(Receiver(answer), URL, SECRET).carry(parcel("a")) == carried


def test_an_address_is_one_line_of_text():
    assert checked_address("duty: team 3") == "duty: team 3"
    for wrong in ("a\nb", '{"endpoint":"x"}'):
        with pytest.raises(ValueError, match="one line"):
            checked_address(wrong)

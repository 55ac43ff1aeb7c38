"""Receipts as they go over the wire, and filters as the store keeps them."""

from __future__ import annotations

import json

import msgspec
import pytest

from tocsin.protocol.receipts.receipt import (
    EVERYTHING,
    Filter,
    Receipt,
    ReceiptKind,
    correlation_of,
    names_in,
    receipt_json,
)

AT = 1_764_547_200_000


def test_names_between_commas_are_the_names_again():
    wanted = Filter(("read", "dead"), ("builds",))
    assert names_in(wanted.events_text) == ("read", "dead")
    assert names_in(wanted.categories_text) == ("builds",)


def test_no_category_named_is_every_one():
    assert EVERYTHING.categories_text == ""
    assert names_in(EVERYTHING.events_text) == tuple(kind.value for kind in ReceiptKind)


def test_a_receipt_is_known_by_its_place_and_carries_its_detail_as_json():
    receipt = Receipt(
        position=7,
        kind="dead",
        notification="n1",
        category="builds",
        user="ada",
        device="phone",
        channel=None,
        at=AT,
        detail='{"reason":"é"}',
    )
    read = json.loads(receipt_json(receipt, "e1"))
    assert read["id"] == "e1-7"
    assert read["at"] == "2025-12-01T00:00:00.000Z"
    assert read["detail"] == {"reason": "é"}
    without = msgspec.structs.replace(receipt, detail=None)
    assert json.loads(receipt_json(without, "e1"))["detail"] is None


@pytest.mark.parametrize(
    ("kind", "detail", "correlation"),
    [
        ("accepted", '{"correlation":"order-7"}', "order-7"),
        ("refused", '{"code":"invalid","correlation":"order-7"}', "order-7"),
        ("accepted", '{"correlation":""}', None),
        ("accepted", "{}", None),
        ("accepted", None, None),
        ("dead", '{"correlation":"order-7"}', None),
    ],
)
def test_an_answer_names_the_message_that_it_answers(kind, detail, correlation):
    receipt = Receipt(1, kind, "n1", None, None, None, None, AT, detail)
    assert correlation_of(receipt) == correlation

"""What is wrong with a body, and where: said in words that may hold the client's own."""

from __future__ import annotations

from time import thread_time

import msgspec
import pytest

from tocsin.protocol.problems import ProblemError
from tocsin.server.decoding import decode


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    number: int = 0


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner


def wrong(document: object) -> tuple[str, str]:
    with pytest.raises(ProblemError) as caught:
        decode(Outer, msgspec.json.encode(document))
    [error] = caught.value.problem.errors
    return error.path, error.message


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({"inner": {"number": "x"}}, "$.inner.number", "Expected `int`, got `str`"),
        ({"inner": {"what": 1}}, "$.inner", "Object contains unknown field `what`"),
        ({"what": 1}, "$", "Object contains unknown field `what`"),
        ([], "$", "Expected `object`, got `array`"),
        ({"inner": {" - at `$.x`": 1}}, "$.inner", "Object contains unknown field ` - at `$.x``"),
    ],
)
def test_the_place_is_told_apart_from_what_is_wrong(document, path, message):
    assert wrong(document) == (path, message)


@pytest.mark.parametrize("piece", [" - at `$", " - at `$\x00", "`", "$.", " - at "])
def test_a_name_that_looks_like_a_place_costs_nothing(piece):
    name = piece * (65_536 // len(piece))
    start = thread_time()
    wrong({"inner": {name: 1}})
    assert thread_time() - start < 0.02

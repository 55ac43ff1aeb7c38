"""The subject of a sentence is a noun of the glossary (docs/style.md), room by room.

A statement that opens with "who" or "what" leaves its reader to find out whether a device, a node
or a producer is meant. h11, trio, websockets, procrastinate and aioquic do so in 0 to 0.7 % of
their sentences.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.house.source import (
    ROOT,
    functions_of,
    our_python,
    parse,
    python_files,
    refuse,
    short,
    text_of,
)

OPENERS = {
    *("who", "whom", "whose", "whoever", "what", "whatever"),
    *("nobody", "somebody", "everybody", "anybody", "someone", "anyone"),
}
SHARE_MAX = 0.02
"""Of the sentences of a room: a question in other words, or a saying, may open so."""
SHIPPED = ("tocsin", "clients", "deploy", "release", "dev")
"""Folders whose rooms are read by users and operators as well: there no sentence opens so."""
ROOMS = (
    *("tocsin/actors/runtime", "tocsin/actors", "tocsin/cli", "tocsin/client"),
    *("tocsin/carriers", "tocsin/load", "tocsin/outbound", "tocsin/persistence"),
    *("tocsin/protocol", "tocsin/server", "tocsin/settings", "tocsin"),
    *("clients", "demo", "deploy", "simulation", "tests", "bench", "cluster", "servers"),
    *("release", "dev"),
)


def test_sentences_have_a_noun_for_their_subject():
    refuse(
        (
            f"{room}: {share:.1%}, at most {share_max(room):.1%}, such as {shown!r}"
            for room, share, shown in shares()
            if share > share_max(room)
        ),
        'Name the device, node, producer, entry … instead of "who" and "what"',
    )


def test_the_name_of_a_test_has_a_noun_for_its_subject():
    """Of a test as well as of a sentence in prose: the name is all that a failed run shows."""
    refuse(
        (
            f"{short(path)} {function.name}"
            for path in python_files(ROOT / "tests")
            for function in functions_of(path)
            if names_no_subject(function.name)
        ),
        'Name the device, node, producer, entry … instead of "who" and "what"',
    )


# --- the rules catch what they are for ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_seen"),
    [
        ("Who attaches is told.", True),
        ("Whoever waits looks again.", True),
        ('"What" is a word.', True),
        ("Who is it?", False),
        ("The device that attaches is told.", False),
        ("Whether it is open.", False),
        ("Nobody waits.", True),
    ],
)
def test_openings_are_seen(text, is_seen):
    assert opens_without_noun(text) is is_seen


@pytest.mark.parametrize(
    ("name", "is_seen"),
    [
        ("test_what_has_expired_is_not_pushed", True),
        ("test_those_that_wait_are_served_in_turn", True),
        ("test_an_expired_notification_is_not_pushed", False),
        ("test_whole_batches_are_refused", False),
        ("what_the_person_sees", False),
    ],
)
def test_a_name_without_a_subject_is_seen(name, is_seen):
    assert names_no_subject(name) is is_seen


def test_sentences_are_told_apart():
    text = "One of two.\n    Two, e.g. three: four.\n\n    - Five is a point.\n    - Six as well"
    assert list(sentences(text)) == [
        *("One of two.", "Two, e.g. three: four.", "Five is a point.", "Six as well"),
    ]


# --- how they look --------------------------------------------------------------------------------


def share_max(room: str) -> float:
    return 0.0 if room.split("/")[0] in SHIPPED else SHARE_MAX


def shares() -> Iterator[tuple[str, float, str]]:
    """Of each room: the share of its sentences that open without a noun, and one of these."""
    counts: dict[str, int] = defaultdict(int)
    seen: dict[str, list[str]] = defaultdict(list)
    for path in our_python():
        room = next(each for each in ROOMS if f"{short(path)}/".startswith(f"{each}/"))
        for text in prose(path):
            for sentence in sentences(text):
                counts[room] += 1
                if opens_without_noun(sentence):
                    seen[room].append(f"{short(path)}: {sentence[:60]}")
    for room, count in counts.items():
        yield room, len(seen[room]) / count, next(iter(seen[room]), "")


def prose(path: Path) -> Iterator[str]:
    """Docstrings, the strings below constants, and comments whose lines stand together."""
    for node in ast.walk(parse(path)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text
            case _:
                pass
    yield from comment_blocks(text_of(path))


def comment_blocks(source: str) -> Iterator[str]:
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if block and token.start[0] != last + 1:
                yield " ".join(block)
                block = []
            block.append(token.string.lstrip("#- ").rstrip("- "))
            last = token.start[0]
    yield " ".join(block)


def sentences(text: str) -> Iterable[str]:
    for paragraph in re.split(r"\n\s*\n|\n\s*[-*|] ", text):
        for sentence in re.split(r"(?<=[.!?])\s+(?=[^a-z])", " ".join(paragraph.split())):
            if " " in (cleaned := sentence.lstrip("-*| ")):
                yield cleaned


def names_no_subject(name: str) -> bool:
    words = name.split("_")
    return words[0] == "test" and len(words) > 1 and words[1] in {*OPENERS, "those", "which"}


def opens_without_noun(sentence: str) -> bool:
    word = re.match(r"[^A-Za-z]*([A-Za-z]+)", sentence)
    return word is not None and word[1].lower() in OPENERS and not sentence.endswith("?")

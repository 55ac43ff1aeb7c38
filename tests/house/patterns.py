"""Regular expressions of the package, and what in them could take longer than their text is long.

Python's matcher goes back: where two repeats could share out the same characters among them, it
tries every way to share them before it says no, which is quadratic for two neighbours and
exponential for one inside the other. `troubles` finds both in the parsed pattern; `slow_texts`
tries texts on which a slow pattern is slow, whatever it looks like.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants, _parser
from time import thread_time
from typing import Any

ROOT = Path(__file__).parent.parent.parent

ANCHORED = {"match", "fullmatch"}
FUNCTIONS = {
    "compile",
    "search",
    "match",
    "fullmatch",
    "sub",
    "subn",
    "split",
    "findall",
    "finditer",
}
SECONDS_MAX = 0.02
"""For a text of `LENGTH`, and so for all that is shorter."""
LENGTH = 65_536
LONG = 256
"""Repeats that end before this are bounded well enough."""
# The characters that a class of characters is asked about: all of Latin-1, and one of each kind
# from beyond.
ALPHABET = frozenset([*range(256), 0x101, 0x663, 0x2003, 0x2028, 0xAC00, 0x1F600])

Item = tuple[Any, Any]
Characters = frozenset[int]


@dataclass(frozen=True)
class Pattern:
    """One regular expression, and where it stands."""

    where: str
    text: str | bytes
    flags: int
    methods: frozenset[str]
    """How it is used. A search for it anywhere in a text begins at every place of the text."""

    @property
    def compiled(self) -> re.Pattern[Any]:
        return re.compile(self.text, self.flags)

    def seconds(self, text: str | bytes) -> float:
        """For its slowest use: the best of a few tries, since the machine may be busy."""
        return max(self._best(method, text) for method in self.methods)

    def _best(self, method: str, text: str | bytes) -> float:
        best = math.inf
        for _ in range(3):
            start = thread_time()
            getattr(self.compiled, method)(text)
            best = min(best, thread_time() - start)
            if best < SECONDS_MAX:
                break
        return best


def patterns_of(path: Path) -> Iterator[Pattern]:
    """Every pattern in a module of the package: `re.…(pattern, …)`, and `Meta(pattern=…)`."""
    tree = ast.parse(path.read_text(), str(path))
    module: Any = None
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        expression = _pattern_in(node)
        if expression is None:
            continue
        if module is None:
            parts = path.relative_to(ROOT).with_suffix("").parts
            module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
        text = _evaluate(expression, module)
        if isinstance(text, re.Pattern):
            continue  # compiled elsewhere
        flags = next((each for each in _flags_in(node)), None)
        where = f"{path.relative_to(ROOT)}:{node.lineno}"
        yield Pattern(
            where,
            text,
            0 if flags is None else int(_evaluate(flags, module)),
            frozenset(_methods(tree, node)),
        )


def _pattern_in(call: ast.Call) -> ast.expr | None:
    function = ast.unparse(call.func)
    if function.startswith("re.") and function[3:] in FUNCTIONS:
        return call.args[0]
    return next((each.value for each in call.keywords if each.arg == "pattern"), None)


def _methods(tree: ast.AST, call: ast.Call) -> Iterator[str]:
    """Whether the whole text has to match, only its beginning, or any part of it."""
    function = ast.unparse(call.func).removeprefix("re.")
    if function != "compile":  # msgspec searches
        yield function if function in ANCHORED else "search"
        return
    name = next(
        (
            ast.unparse(each.targets[0] if isinstance(each, ast.Assign) else each.target)
            for each in ast.walk(tree)
            if isinstance(each, ast.Assign | ast.AnnAssign) and each.value is call
        ),
        None,
    )
    used = {
        each.attr
        for each in ast.walk(tree)
        if isinstance(each, ast.Attribute) and ast.unparse(each.value) == name
    }
    # Where it is used elsewhere only, nobody knows how.
    yield from {each if each in ANCHORED else "search" for each in used} or {"search"}


def _flags_in(call: ast.Call) -> Iterator[ast.expr]:
    if ast.unparse(call.func) == "re.compile":
        yield from call.args[1:]
    yield from (each.value for each in call.keywords if each.arg == "flags")


def _evaluate(expression: ast.expr, module: Any) -> Any:
    code = compile(ast.Expression(expression), module.__file__, "eval")
    return eval(code, vars(module))  # noqa: S307 (our own source, with its own names)


# --- the troubles of one --------------------------------------------------------------------------


def troubles(text: str | bytes, flags: int = 0) -> list[str]:
    """Nested repeats, and neighbours that overlap."""
    parsed = _parser.parse(text, flags)
    reader = _Reader(parsed.state.flags, isinstance(text, bytes))
    found: dict[str, None] = {}
    for sequence in reader.sequences(parsed):
        for trouble in reader.in_sequence(sequence):
            found[trouble] = None
    return list(found)


class _Reader:
    def __init__(self, flags: int, of_bytes: bool) -> None:
        self._flags = flags
        self._of_bytes = of_bytes

    def sequences(self, parsed: Any) -> Iterator[list[Item]]:
        """The pattern without groups and alternatives: every way through it, one after another."""
        parts: list[list[list[Item]]] = []
        for op, value in parsed:
            if op is _constants.SUBPATTERN:
                self._flags |= value[1]  # those of a part are taken for all of it: to be careful
                parts.append(list(self.sequences(value[3])))
            elif op is _constants.BRANCH:
                parts.append([each for way in value[1] for each in self.sequences(way)])
            elif op is _constants.ATOMIC_GROUP:
                parts.append(list(self.sequences(value)))
            else:
                parts.append([[(op, value)]])
        for choice in itertools.islice(itertools.product(*parts), 10_000):
            yield [item for part in choice for item in part]

    def in_sequence(self, sequence: list[Item]) -> Iterator[str]:
        for place, item in enumerate(sequence):
            if item[0] in (_constants.ASSERT, _constants.ASSERT_NOT):
                for inner in self.sequences(item[1][1]):
                    yield from self.in_sequence(inner)
            if item[0] in _REPEATS:
                for inner in self.sequences(item[1][2]):
                    yield from self.in_sequence(inner)
                    if _is_long(item) and any(_is_variable(each) for each in inner):
                        yield "a repeat inside a repeat"
            if _is_long(item) and self._meets_its_like(item, sequence[place + 1 :]):
                yield "neighbouring repeats that overlap"

    def _meets_its_like(self, item: Item, behind: list[Item]) -> bool:
        mine = self.characters(item)
        for other in behind:
            if other[0] in (_constants.AT, _constants.ASSERT, _constants.ASSERT_NOT):
                continue
            overlaps = bool(mine & self.characters(other))
            if _is_long(other) and overlaps:
                return True
            if not overlaps and not _may_be_empty(other):
                return False
        return False

    def characters(self, item: Item) -> Characters:
        """Which characters an item may take."""
        op, value = item
        if op in _REPEATS:
            ways = self.sequences(value[2])
            return frozenset().union(*(self.characters(each) for way in ways for each in way))
        if op is _constants.LITERAL:
            return self._cased({value})
        if op is _constants.NOT_LITERAL:
            return ALPHABET - self._cased({value})
        if op is _constants.ANY:
            return ALPHABET if self._flags & re.DOTALL else ALPHABET - {10}
        if op is _constants.IN:
            return self._in(value)
        return frozenset() if op is _constants.AT else ALPHABET

    def _in(self, members: list[Item]) -> Characters:
        found: set[int] = set()
        for op, value in members:
            if op is _constants.LITERAL:
                found.add(value)
            elif op is _constants.RANGE:
                found.update(each for each in ALPHABET if value[0] <= each <= value[1])
            elif op is _constants.CATEGORY:
                found.update(self._category(str(value)))
        negated = members[0][0] is _constants.NEGATE
        return ALPHABET - self._cased(found) if negated else self._cased(found)

    def _category(self, name: str) -> Characters:
        letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}[name.rpartition("_")[2]]
        ascii_only = self._of_bytes or self._flags & re.ASCII
        single = re.compile(f"\\{letter}", re.ASCII if ascii_only else 0)
        inside = frozenset(each for each in ALPHABET if single.fullmatch(chr(each)))
        return ALPHABET - inside if "NOT" in name else inside

    def _cased(self, codes: set[int]) -> Characters:
        if not self._flags & re.IGNORECASE:
            return frozenset(codes)
        both = {
            ord(text)
            for each in codes
            for text in (chr(each).lower(), chr(each).upper())
            if len(text) == 1
        }
        return frozenset(codes | both)


_REPEATS = (
    _constants.MAX_REPEAT,
    _constants.MIN_REPEAT,
    _constants.POSSESSIVE_REPEAT,
)


def _is_variable(item: Item) -> bool:
    return item[0] in _REPEATS and item[1][0] != item[1][1]


def _is_long(item: Item) -> bool:
    # One that gives nothing back shares nothing out.
    return (
        item[0] in _REPEATS
        and item[0] is not _constants.POSSESSIVE_REPEAT
        and item[1][1] > LONG
        and item[1][0] != item[1][1]
    )


def _may_be_empty(item: Item) -> bool:
    return item[0] in _REPEATS and item[1][0] == 0


# --- texts on which a slow pattern is slow --------------------------------------------------------


def slow_texts(pattern: Pattern, length: int = LENGTH) -> Iterator[tuple[str | bytes, float]]:
    """The first text found for which *pattern* takes more than `SECONDS_MAX`, and the seconds."""
    # A very slow pattern is slow on a little text already, and does not keep us for hours.
    for size in (length >> halvings for halvings in range(7, -1, -1)):
        for text in hostile_texts(pattern, size):
            if (seconds := pattern.seconds(text)) > SECONDS_MAX:
                yield text, seconds
                return


def hostile_texts(pattern: Pattern, length: int) -> Iterator[str | bytes]:
    """Texts of *length* that a pattern nearly matches, again and again, and then does not."""
    parsed = _parser.parse(pattern.text, pattern.flags)
    reader = _Reader(parsed.state.flags, isinstance(pattern.text, bytes))
    pieces: dict[str, None] = {}
    for sequence in itertools.islice(reader.sequences(parsed), 50):
        before = ""
        for item in sequence:
            taken = [each for each in sorted(reader.characters(item)) if each < 256]
            if item[0] in _REPEATS:
                samples = {
                    chr(each) for each in [*taken[:1], *taken[len(taken) // 2 :][:1], *taken[-1:]]
                }
                for sample in samples:
                    pieces[sample] = pieces[before + sample] = pieces[before + sample * 9] = None
                    # The beginning once, then so much of the repeat that nothing comes behind it.
                    yield from _ended(pattern, before + sample * (length - len(before)), length)
            if taken and not (item[0] in _REPEATS and item[1][0] == 0):
                count = min(item[1][0], 99) if item[0] in _REPEATS else 1
                before += chr(taken[len(taken) // 2]) * count
    for piece in pieces:
        yield from _ended(pattern, piece * (length // max(1, len(piece)) + 1), length)


def _ended(pattern: Pattern, text: str, length: int) -> Iterator[str | bytes]:
    for end in ("", "\n", "\x00", "!"):
        whole = text[: length - len(end)] + end
        yield whole.encode("latin-1") if isinstance(pattern.text, bytes) else whole

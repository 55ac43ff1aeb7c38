"""docs/clients.md: each cell that says that something works names the test that shows it."""

from __future__ import annotations

import re

from servers.node import ROOT

SECTION = re.compile(r"### What is tried\n(.*?)\n## ", re.DOTALL)
NAME = re.compile(r"`(test_\w+)`")


def test_every_cell_of_what_is_tried_is_a_test():
    section = SECTION.search((ROOT / "docs" / "clients.md").read_text())
    assert section is not None
    tables = [each.splitlines() for each in section[1].split("\n\n") if each.startswith("|")]
    count = 0
    for head, _, *rows in tables:
        modules = NAME.findall(head)
        for row in rows:
            names = NAME.findall(row)
            assert len(names) == len(modules) == row.count("|") - 2, row
            for module, name in zip(modules, names, strict=True):
                text = (ROOT / "tests" / "system" / f"{module}.py").read_text()
                assert f"\ndef {name}(" in text, f"{module} has no {name}"
                count += 1
    assert count > 25

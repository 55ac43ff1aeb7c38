"""A person with a keyboard and no mouse: where the focus goes, and whether it can be seen."""

from __future__ import annotations

from typing import Any

from servers.chromium import Page

STOPS_MAX = 300
"""Presses of Tab after which a page counts as a trap."""

FOCUS = """
(() => {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  if (at === null || at === document.body || at === document.documentElement) return null;
  const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(at);
  const { width, height, top, bottom } = at.getBoundingClientRect();
  globalThis.stops ??= [];
  if (!stops.includes(at)) stops.push(at);
  const label = at.getAttribute("aria-label") ?? at.name ?? "";
  return {
    number: stops.indexOf(at),
    name: `${at.localName} ${label} ${at.textContent}`.slice(0, 60),
    seen: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 && width > 0 && height > 0,
    inView: bottom > 0 && top < innerHeight,
  };
})()
"""
"""What has the focus, in shadow trees as well; null where that is nothing of the page."""

REACHABLE = """
[...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
  .filter((each) => each.checkVisibility({ visibilityProperty: true }) && !each.disabled)
  .filter((each) => !(globalThis.stops ?? []).includes(each))
  .map((each) => `${each.localName} ${each.textContent}`.slice(0, 60))
"""
"""What a mouse can use and no Tab has stopped at."""


def focus(page: Page) -> Any:
    """What has the focus; none if the browser itself has it."""
    return page.evaluate(FOCUS)


def walk(page: Page) -> list[Any]:
    """Press Tab from the beginning of *page* to its end; each stop is in view, and shows."""
    page.evaluate("document.activeElement?.blur(); true")
    stops: list[Any] = []
    for _ in range(STOPS_MAX):
        page.press("Tab")
        if focus(page) is None:
            break  # the browser has it, behind the page's end
    page.evaluate("globalThis.stops = []; true")
    for number in range(STOPS_MAX):
        page.press("Tab")
        stop = focus(page)
        if stop is None:
            return stops
        assert stop["number"] == number, f"a circle: {stop['name']!r} again"
        assert stop["seen"], f"no one sees that {stop['name']!r} has the focus"
        assert stop["inView"], f"{stop['name']!r} has the focus and is out of view"
        stops.append(stop)
    raise AssertionError(f"a trap: {[each['name'] for each in stops[-5:]]}")


def expect_all_reached(page: Page) -> None:
    """Whatever a mouse can use on *page*, Tab reaches, and goes on behind it."""
    stops = walk(page)
    assert stops, "nothing can be reached"
    assert page.evaluate(REACHABLE) == []

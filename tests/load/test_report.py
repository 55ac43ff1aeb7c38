"""The report: what it says, and that nothing in it can be taken for markup."""

from __future__ import annotations

from html.parser import HTMLParser

from tocsin.load.books import Books, Tally
from tocsin.load.engine import LoadOutcome
from tocsin.load.plan import LoadPlan, Thresholds
from tocsin.load.report import lines, page
from tocsin.load.verdict import breaches, document


def outcome_of(*, lost: int = 0) -> LoadOutcome:
    books = Books(["ada"])
    for number in range(10):
        books.begin(number, ("ada",), due=0.0)
        books.accept(number, 0.01)
        if number >= lost:
            books.see("ada", number, number + 1, 0.02, replay=False)
            books.receive("ada", number)
    samples = [(float(at), Tally(accepted=at * 2, pushes=at)) for at in range(5)]
    return LoadOutcome(LoadPlan(scenario="fanout"), books, samples)


def test_a_run_that_lost_nothing_holds_its_thresholds():
    assert breaches(outcome_of(), Thresholds()) == []
    run = document(outcome_of(), Thresholds())
    assert "lost 0, repeated 0" in lines(run)[1]
    assert "All thresholds held." in page(run, target="http://127.0.0.1", began="now")


def test_a_run_that_lost_something_says_what():
    outcome = outcome_of(lost=3)
    (breach,) = breaches(outcome, Thresholds())
    assert str(breach) == "lost: 3, at most 0 allowed"
    run = document(outcome, Thresholds())
    assert [each["number"] for each in run["missing"]] == [0, 1, 2]
    assert "Thresholds were broken." in page(run, target="x", began="now")


def test_a_time_that_was_never_measured_holds_no_threshold():
    outcome = LoadOutcome(LoadPlan(scenario="fanout"), Books(["ada"]))
    assert [each.name for each in breaches(outcome, Thresholds(p99=1.0))] == ["p99"]


def test_the_page_loads_nothing_and_runs_nothing():
    found: list[tuple[str, list[str]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, [name for name, _ in attrs]))

    hostile = "http://host/<script>alert(1)</script>"
    Tags().feed(page(document(outcome_of(), Thresholds()), target=hostile, began="now"))
    assert "svg" in {tag for tag, _ in found}
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in found}
    assert not any(name in ("src", "href") for _, names in found for name in names)

"""The documentation as a site: `./dev site`. Plain pages, without a script or another host.

A generator of our own, 150 lines: mkdocs-material is thirty packages and seconds of every test run
for what these pages need, which is a list of pages beside the text. markdown-it-py reads CommonMark
and tables, as the forges do.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from release.tree import ROOT

SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "Using it": (
        *("docs/package.md", "docs/clients.md", "docs/connections.md", "docs/channels.md"),
        *("docs/connectors.md", "docs/protocol.md"),
    ),
    "Running it": (
        *("docs/deploying.md", "docs/operations.md", "docs/observing.md", "docs/load.md"),
        *("docs/cluster.md", "docs/scaling.md", "docs/postgres.md"),
        *("docs/settings.md", "docs/security.md"),
        *("deploy/chart/README.md", "deploy/pulumi/README.md"),
    ),
    "How it is made": (
        *("docs/architecture.md", "docs/glossary.md", "docs/simulation.md", "docs/benchmarks.md"),
        *("docs/decisions/README.md", "docs/dependencies.md", "docs/style.md"),
        *("docs/releasing.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"),
    ),
}
"""The pages beside the text, in order. Pages that only others lead to are found by themselves."""
STYLE: Final = Path(__file__).parent / "site.css"
_STARTS: Final = "docs/package.md"
_EXTERNAL: Final = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class Page(NamedTuple):
    """A document: its *source* in the repository, its *title*, and its text as HTML."""

    source: str
    title: str
    body: str

    @property
    def target(self) -> str:
        """Where it is in the site."""
        return target_of(self.source)


def build_site(out: Path) -> None:
    """Write the site to *out*."""
    sources = list(_sources())
    pages = {source: render(source, sources) for source in sources}
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(STYLE, out / STYLE.name)
    for picture in sorted((ROOT / "docs" / "pictures").glob("*.png")):
        (out / "docs" / "pictures").mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, out / "docs" / "pictures")
    for page in pages.values():
        target = out / page.target
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_framed(page, pages), encoding="utf-8")


def _sources() -> Iterator[str]:
    listed = [each for section in SECTIONS.values() for each in section]
    yield from listed
    for each in sorted((ROOT / "docs").rglob("*.md")):
        if (source := str(each.relative_to(ROOT))) not in listed:
            yield source


def target_of(source: str) -> str:
    """The page that *source* becomes; the first one is the site's own."""
    if source == _STARTS:
        return "index.html"
    place = source.removesuffix(".md")
    return re.sub(r"README$", "index", place) + ".html"


def render(source: str, sources: Sequence[str]) -> Page:
    """The page of *source*; links to others of *sources* lead to their pages."""
    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse((ROOT / source).read_text(encoding="utf-8"))
    title = ""
    seen: dict[str, int] = {}
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following is not None:
            text = _plain(following)
            token.attrSet("id", _anchor(text, seen))
            title = title or text
        for each in token.children or ():
            _mend(each, source, sources)
    body = markdown.renderer.render(tokens, markdown.options, {})
    return Page(source, title, body)


def _plain(heading: Token) -> str:
    return "".join(each.content for each in heading.children or ())


def _anchor(text: str, seen: dict[str, int]) -> str:
    """The name of a heading, as the forges make it: documents link to it."""
    kept = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
    seen[kept] = seen.get(kept, -1) + 1
    return f"{kept}-{seen[kept]}" if seen[kept] else kept


def _mend(token: Token, source: str, sources: Sequence[str]) -> None:
    """Turn a link to a document into one to its page; one to other files leads nowhere here."""
    if token.type == "image":
        token.attrSet("src", _relative(str(token.attrGet("src")), source, sources) or "")
    if token.type != "link_open":
        return
    href = str(token.attrGet("href"))
    if _EXTERNAL.match(href) or href.startswith("#"):
        return
    found = _relative(href, source, sources)
    if found is None:
        del token.attrs["href"]
        token.attrSet("title", "in the repository")
    else:
        token.attrSet("href", found)


def _relative(href: str, source: str, sources: Sequence[str]) -> str | None:
    path, _, fragment = href.partition("#")
    place = (ROOT / source).parent.joinpath(path).resolve()
    if not place.is_relative_to(ROOT):
        return None
    named = str(place.relative_to(ROOT))
    if place.is_dir() and f"{named}/README.md" in sources:
        named += "/README.md"
    if named in sources:
        target = target_of(named)
    elif place.suffix == ".png":
        target = named
    else:
        return None
    up = "../" * target_of(source).count("/")
    return up + target + (f"#{fragment}" if fragment else "")


def _framed(page: Page, pages: dict[str, Page]) -> str:
    up = "../" * page.target.count("/")
    title = html.escape(page.title)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title} · Tocsin</title>\n"
        f'<link rel="stylesheet" href="{up}{STYLE.name}">\n'
        f"<nav>{''.join(_navigation(page, pages, up))}</nav>\n<main>\n{page.body}</main>\n</html>\n"
    )


def _navigation(page: Page, pages: dict[str, Page], up: str) -> Iterator[str]:
    for section, sources in SECTIONS.items():
        yield f"<h2>{section}</h2><ul>"
        for each in (pages[source] for source in sources):
            here = ' aria-current="page"' if each is page else ""
            yield f'<li><a href="{up}{each.target}"{here}>{html.escape(each.title)}</a></li>'
        yield "</ul>"

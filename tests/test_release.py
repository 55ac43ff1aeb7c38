"""A release: the same bytes each time, a bill of what is in it, and a site whose links lead on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml  # type: ignore[import-untyped]

from release.archives import normalise
from release.build import SUMS, build_python, version_in, write_sums
from release.sbom import Locked, bill_of_materials, locked
from release.site import STYLE, build_site
from release.tree import ROOT, copy_to, source_files
from tocsin import __version__

AT = 1_700_000_000
LOCK = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")


# --- The same bytes -------------------------------------------------------------------------------


def built(place: Path) -> dict[str, str]:
    """The SHA-256 of each package that is built in *place*."""
    copy_to(place / "tree", AT)
    build_python("wheel", place / "tree", place / "out", AT)
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in (place / "out").iterdir()
    }


def test_two_builds_give_the_same_bytes(tmp_path, monkeypatch):
    first = built(tmp_path / "here")
    # Elsewhere, later, and by somebody with other habits.
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    before = os.umask(0o077)
    try:
        second = built(tmp_path / "a" / "longer" / "way")
    finally:
        os.umask(before)

    assert first == second
    assert set(first) == {
        f"{name}-{__version__}-py3-none-any.whl" for name in ("tocsin", "tocsin_client")
    }


def test_an_archive_depends_on_what_is_in_it_alone(tmp_path):
    made = []
    for number, order in enumerate([("b", "a"), ("a", "b")]):
        archive = tmp_path / f"{number}.tgz"
        with tarfile.open(archive, "w:gz") as file:
            for name in order:
                (tmp_path / name).write_text(f"text of {name}")
                (tmp_path / name).chmod(0o700 if name == "a" else 0o640)
                os.utime(tmp_path / name, (number, number))
                file.add(tmp_path / name, name)
        normalise(archive, AT)
        made.append(archive.read_bytes())
    assert made[0] == made[1]
    with tarfile.open(tmp_path / "0.tgz") as file:
        members = {each.name: (each.mode, each.mtime, each.uname) for each in file}
        assert members == {"a": (0o755, AT, ""), "b": (0o644, AT, "")}
        assert file.extractfile("b").read() == b"text of b"  # type: ignore[union-attr]


def test_sums_are_those_that_sha256sum_checks(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    write_sums(tmp_path)
    write_sums(tmp_path)
    assert (tmp_path / SUMS).read_text() == f"{hashlib.sha256(b'x').hexdigest()}  a\n"


def test_only_source_is_copied(tmp_path):
    files = source_files()
    assert Path("dev") in files
    assert not [each for each in files if "node_modules" in each.parts or ".venv" in each.parts]
    assert version_in(ROOT) == __version__


# --- What is in it --------------------------------------------------------------------------------


def test_the_bill_has_all_that_the_lock_pins():
    bill = json.loads(bill_of_materials("tocsin", "0.1.0", LOCK, AT))
    components = {each["purl"]: each for each in bill["components"]}
    pinned = re.findall(r"^([\w.-]+)==([^\s;\\]+)", LOCK, re.MULTILINE)
    assert len(components) == len(pinned) > 20
    for name, version in pinned:
        hashes = components[f"pkg:pypi/{name.replace('_', '-').lower()}@{version}"]["hashes"]
        assert hashes
        assert all(f"sha256:{each['content']}" in LOCK for each in hashes)
    assert LOCK.count("--hash=") == sum(len(each["hashes"]) for each in components.values())
    (subject, *_) = bill["dependencies"]
    assert subject["ref"] == bill["metadata"]["component"]["bom-ref"] == "pkg:pypi/tocsin@0.1.0"
    assert set(subject["dependsOn"]) == set(components)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")


def test_another_lock_is_another_bill_and_the_same_one_is_the_same():
    first, again = (bill_of_materials("tocsin", "0.1.0", LOCK, AT) for _ in range(2))
    assert first == again
    other = bill_of_materials("tocsin", "0.1.0", LOCK.replace("==", "==9", 1), AT)
    assert json.loads(first)["serialNumber"] != json.loads(other)["serialNumber"]


def test_a_marker_is_no_part_of_a_version():
    text = 'c.D==1.2 ; python_version < "3.13" \\\n    --hash=sha256:' + "0" * 64 + "\n"
    assert list(locked(text)) == [Locked("c.D", "1.2", ("0" * 64,))]
    assert Locked("c.D", "1.2", ()).purl == "pkg:pypi/c-d@1.2"


# --- The site -------------------------------------------------------------------------------------


class Links(HTMLParser):
    """The ids of a page, and all that it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src"):
                self.targets.append(value or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    place: Path = tmp_path_factory.mktemp("site") / "site"
    build_site(place)
    return place


def test_every_document_has_a_page_and_every_link_leads_somewhere(site):
    pages = {each: Links(each.read_text(encoding="utf-8")) for each in site.rglob("*.html")}
    assert len(pages) >= len(list((ROOT / "docs").rglob("*.md")))
    wrong = []
    for page, links in pages.items():
        assert len(set(links.ids)) == len(links.ids), page
        for target in links.targets:
            if re.match(r"[a-z]+:", target):
                assert target.startswith(("https://", "http://127.0.0.1", "mailto:")), target
                continue
            path, _, fragment = unquote(target).partition("#")
            found = (page.parent / path).resolve() if path else page
            if not found.is_file() or (fragment and fragment not in pages[found].ids):
                wrong.append(f"{page.relative_to(site)}: {target}")
    assert wrong == []


def test_pages_need_no_script_and_no_other_host(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text
        assert not re.search(r'(?:src|<link[^>]*href)="https?:', text)
    assert "http" not in STYLE.read_text()


# --- Workflows ------------------------------------------------------------------------------------


def test_workflows_only_call_what_people_can_call_too():
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(file.read_text())["jobs"]
        steps = [step for job in jobs.values() for step in job["steps"] if "run" in step]
        assert steps
        for step in steps:
            assert re.fullmatch(r"(\./dev \w+[^\n;&|]*|\.ci/run)\n?", step["run"]), step["run"]

"""`./dev release` and `./dev site`."""

from __future__ import annotations

import argparse
from pathlib import Path

from release.build import build_all
from release.site import build_site
from release.tree import ROOT, source_time


def main() -> None:
    """Read the command line and do what it asks."""
    parser = argparse.ArgumentParser(prog="./dev", description="Make the parts of a release.")
    parser.add_argument("what", choices=("release", "site"))
    parser.add_argument("--out", type=Path, help="an empty folder; by default dist/ or site/")
    asked = parser.parse_args()
    out: Path = asked.out or ROOT / ("dist" if asked.what == "release" else "site")
    if out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty")
    if asked.what == "release":
        build_all(out, source_time())
    else:
        build_site(out)
    for each in sorted(out.iterdir()):
        print(each.name)


if __name__ == "__main__":
    main()

"""`./dev demo`: a node and a small shop in front of it, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import tempfile
import threading
from pathlib import Path

from demo.pictures import take_pictures
from demo.shop import Shop, started_shop


def main() -> None:
    """Run the shop, or take its pictures for the README."""
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8090, help="where the shop listens")
    parser.add_argument(
        "--pictures", type=Path, metavar="DIRECTORY", help="write screenshots there, and end"
    )
    options = parser.parse_args()
    port = 0 if options.pictures else options.port
    with tempfile.TemporaryDirectory(prefix="tocsin-demo-") as directory:
        try:
            with started_shop(Path(directory), port) as shop:
                if options.pictures:
                    take_pictures(shop, options.pictures)
                else:
                    wait_for_the_end(shop)
        except OSError as error:
            raise SystemExit(f"./dev demo: port {port}: {error.strerror}; see --port") from None


def wait_for_the_end(shop: Shop) -> None:
    """Say where the shop is, and wait for Ctrl-C or SIGTERM."""
    over = threading.Event()
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, lambda *_: over.set())
    print(f"The shop:  {shop.origin}")
    print(f"Its node:  {shop.node}/docs")
    print("Two people, three devices, one backend: press a button and look. Ctrl-C ends it.")
    over.wait()


if __name__ == "__main__":
    main()

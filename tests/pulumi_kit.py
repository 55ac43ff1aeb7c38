"""Runs the program of deploy/pulumi with mocks, and prints what it would make, as JSON.

    python -m tests.pulumi_kit '{"tocsin:image": …}'

A process of its own: Pulumi's runtime is asyncio's, is global, and warns where pytest would raise.
"""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pulumi
from pulumi.runtime import mocks

PROGRAM = Path(__file__).parent.parent / "deploy" / "pulumi"
SECRETS = ("tocsin:postgres-password", "tocsin:redis-password", "tocsin:jwt-secret")


class Recorder(mocks.Mocks):
    """Says yes to everything, and remembers it."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.made.append({"type": args.typ, "name": args.name, "inputs": args.inputs})
        return f"{args.name}-id", args.inputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], None]:
        return {}, None


def main(config: dict[str, str]) -> None:
    recorder = Recorder()
    mocks.set_mocks(recorder, project="tocsin", stack="test")
    pulumi.runtime.set_all_config(config, [name for name in SECRETS if name in config])
    sys.path.insert(0, str(PROGRAM))
    exported: dict[str, Any] = {}
    secret: dict[str, asyncio.Future[bool]] = {}

    def note(name: str, value: Any) -> None:
        output = pulumi.Output.from_input(value)
        secret[name] = asyncio.ensure_future(output.is_secret())
        output.apply(partial(exported.__setitem__, name))

    @pulumi.runtime.test  # waits for all that was begun
    def run() -> None:
        with patch.object(pulumi, "export", note):
            runpy.run_path(str(PROGRAM / "__main__.py"))

    run()
    secrets = {name: each.result() for name, each in secret.items()}
    print(json.dumps({"made": recorder.made, "exported": exported, "secret": secrets}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

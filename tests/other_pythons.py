"""A few of the tests on every other Python that can be had here: `./dev short`.

Each Python has an environment of its own beside `.venv`, and these are made side by side. The last
lines say on which Pythons the tests ran. Only the standard library: `./dev` starts this with the
Python that it has itself, before there is any environment. Arguments go to pytest.

It may run beside the whole suite: the environments give way to it, the tests have few processes,
and a cache of their own says which of them failed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MINORS = ("3.11", "3.12", "3.13")
OWN = "{}.{}.{}".format(*sys.version_info)

SHORT = [
    *("tests/protocol", "tests/actors/runtime", "tests/client"),
    *("tests/persistence/test_asyncio_loop.py", "tests/persistence/test_redis_tls.py"),
    *("tests/persistence/test_sqlite.py", "tests/persistence/test_bus_contract.py"),
    *("tests/system/test_delivery.py", "tests/system/test_operating.py"),
    "tests/system/test_refused_starts.py",
]
"""The differences from one Python to the next: the runtime, TLS, groups of exceptions, a server."""
SIDE_BY_SIDE = ["-n", "2", "--dist", "worksteal"]
"""Each process imports and collects all of it anew."""


def main(options: list[str]) -> None:
    commands = {
        version: [python, str(ROOT / "dev"), "test"]
        for version, python in sorted(other_pythons().items())
    }
    making = {
        version: subprocess.Popen(
            ["nice", *command, "--version"], env=environment(version), stdout=subprocess.DEVNULL
        )
        for version, command in commands.items()
    }
    outcomes: dict[str, list[str]] = {"passed": [], "failed": []}
    for version, command in commands.items():
        if making[version].wait():
            say(f"nothing runs on Python {version}: its packages cannot be installed here")
            continue
        say(f"a few tests on Python {version}, {command[0]}")
        command += ["-o", f"cache_dir=.pytest_cache/{version}", *SHORT]
        tests = [*command, *SIDE_BY_SIDE, *options]
        code = subprocess.run(tests, env=environment(version)).returncode
        if code == 1:
            say("once more, one after the other: those that failed")
            again = ["--last-failed", "--last-failed-no-failures=none"]
            code = subprocess.run([*command, *again], env=environment(version)).returncode
        outcomes["failed" if code else "passed"].append(version)
    for outcome, versions in outcomes.items():
        if versions:
            say(f"a few tests {outcome} on Python {', '.join(versions)}; here is {OWN}")
    if not any(outcomes.values()):
        say(f"no other Python that Tocsin runs on is here; this one is {OWN}")
    sys.exit(1 if outcomes["failed"] else 0)


def environment(version: str) -> dict[str, str]:
    return {**os.environ, "_TOCSIN_VENV": f".venv-{version}"}


def other_pythons() -> dict[str, str]:
    """The path of each other release that Tocsin runs on, by its number."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [Path("/usr/bin/python3"), *pyenv.glob("versions/3.*/bin/python3")]
    places += [Path(shutil.which(f"python{minor}") or "") for minor in MINORS]
    if uv := shutil.which("uv"):
        find = [uv, "python", "find", "--no-python-downloads"]
        places += [Path(answer([*find, minor])) for minor in MINORS]
    tell = "import sys; print('{}.{}.{}'.format(*sys.version_info)); print(sys._base_executable)"
    found: dict[str, str] = {}
    for place in filter(Path.is_file, places):
        version, _, path = answer([str(place), "-c", tell]).partition("\n")
        if version.rpartition(".")[0] in MINORS:
            found.setdefault(version, path)
    found.pop(OWN, None)
    return found


def answer(command: list[str]) -> str:
    """The output of *command*; nothing if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return "" if done.returncode else os.fsdecode(done.stdout).strip()


def say(text: str) -> None:
    print(f"./dev: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

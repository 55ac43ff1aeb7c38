"""A file system of a few megabytes, for a server that is to run out of room on it.

It is a tmpfs. Root mounts it where all processes can see it. Another user mounts it in a user
namespace of its own, which needs no rights, and reaches it through the process that keeps the
namespace. Postgres runs outside of the namespace, because inside every process is root, and
Postgres refuses to run as root.

Where neither is possible, as in a container that may not mount or on another system than Linux,
`SmallDisk` raises `RuntimeError`: the effects of a full disk need a disk that is full.
"""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from servers.machine import traversable

CHUNK = bytes(1 << 16)

# Unmounts also if the test process dies without closing the disk: that ends the keeper's input.
KEEPER = """
mount -t tmpfs -o "size=$2,mode=0777" tocsin-small-disk "$1" || exit
echo mounted
cat >/dev/null
umount -l "$1"
rmdir "$1"
"""


class SmallDisk:
    """An empty file system of *size* bytes at `path`; a context manager.

    Raises `RuntimeError` if none can be mounted.
    """

    def __init__(self, size: int) -> None:
        directory = Path(tempfile.mkdtemp(prefix="tocsin-disk-", dir=traversable()))
        is_root = os.geteuid() == 0
        apart = [] if is_root else ["unshare", "--user", "--map-root-user", "--mount"]
        command = [*apart, "sh", "-c", KEEPER, "keeper", str(directory), str(size)]
        try:
            self._keeper = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            directory.rmdir()
            raise impossible(str(error)) from error
        assert self._keeper.stdout is not None
        if (said := self._keeper.stdout.readline()) != b"mounted\n":
            self._keeper.communicate()
            directory.rmdir()
            raise impossible(said.decode(errors="replace").strip())
        root = Path("/") if is_root else Path(f"/proc/{self._keeper.pid}/root")
        self.path = root / directory.relative_to("/")
        self._ballast = self.path / "ballast"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fill(self) -> None:
        """Write ballast until not one page more can be written."""
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(CHUNK)  # the kernel writes less of it when there is less room
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def clear(self) -> None:
        """Remove the ballast of `fill`; has no effect if there is none."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount and remove the file system; a process with open files keeps these."""
        self._keeper.communicate()


def impossible(reason: str) -> RuntimeError:
    return RuntimeError(
        f"A test needs a disk that can be full, and cannot mount one: {reason}. It can on Linux: "
        "as root, or as a user who may make namespaces (`unshare --user --mount` works)."
    )

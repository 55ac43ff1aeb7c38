"""What `./dev cluster` says to a person who calls it wrongly, before anything is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_a_setting_without_a_value_is_refused_in_a_sentence():
    done = subprocess.run(
        [sys.executable, "-m", "cluster", "drain-time"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "drain-time is not name=value" in done.stderr

"""What tests of forked children share."""

from __future__ import annotations

import os
import threading
import time

__all__ = ["exit_code_of"]


def exit_code_of(child: int, *, within_s: float, otherwise: str) -> int:
    """Wait for a forked child; one that hangs is killed and fails the test with `otherwise`."""
    deadline = time.monotonic() + within_s
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    if done[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert done[0] == child, otherwise
    return os.waitstatus_to_exitcode(done[1])

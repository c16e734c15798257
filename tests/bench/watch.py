"""`gradlab watch` beside a run: what it takes of a core, and what a run loses by it."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

WARM_UP, SECONDS = 8.0, 30.0  # until it has started, and how long it is measured
SIZE = (40, 140)  # lines and characters
RUN = ["depth=50", "width=32", "steps=1000000", "eval.every=100", "clip=norm"]


def share() -> dict[str, float]:
    """The fraction of a core that it takes while a run goes on, the CPU seconds of its start, and bytes a second."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "gradlab", "run", *RUN, f"outputs={folder}", "--quiet"]
        with subprocess.Popen(command) as training:
            try:
                _wait_for_rows(Path(folder))
                return _measured(folder)
            finally:
                training.kill()


def _wait_for_rows(outputs: Path) -> None:
    while not list(outputs.glob("*/*/layers/part-*")):
        time.sleep(0.5)


def _measured(outputs: str) -> dict[str, float]:
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-m", "gradlab", "watch", outputs])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    _read(terminal, WARM_UP)
    start = _cpu_seconds(process)
    written = _read(terminal, SECONDS)
    spent = _cpu_seconds(process) - start
    os.write(terminal, b"q")
    _read(terminal, 2.0)
    os.waitpid(process, 0)
    return {"share": spent / SECONDS, "start": start, "bytes": written / SECONDS}


def _read(terminal: int, seconds: float) -> int:
    """Take what is written for some seconds; how many bytes."""
    until, count = time.monotonic() + seconds, 0
    while (left := until - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            try:
                count += len(os.read(terminal, 65536))
            except OSError:  # it has ended
                break
    return count


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""Peak memory and processor time of a process, as Linux counts them."""

from __future__ import annotations

import os
from pathlib import Path

# Written into clear_refs, it sets the peak to what is resident now.
_RESET_PEAK = "5"


def reset_peak(pid: int) -> None:
    """Start the peak anew."""
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)


def peak(pid: int) -> int:
    """Return the most bytes resident since the last reset."""
    return _status(pid, "VmHWM")


def resident(pid: int) -> int:
    """Return the bytes resident now."""
    return _status(pid, "VmRSS")


def anonymous(pid: int) -> int:
    """Return the bytes resident now but for those of files, such as libraries, which the system may drop."""
    return _status(pid, "RssAnon")


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {name} of process {pid}")

"""Running contenders as whole processes, one after the other, several times; and printing what they took."""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Runs:
    """What the runs of one contender took."""

    name: str
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    """Peak resident memory in MB."""
    output: float = 0.0
    """Size of what it wrote, in MB."""
    note: str = ""


def run(command: Sequence[str]) -> tuple[float, float, float, str]:
    """Run a process; returns wall seconds, CPU seconds, peak MB, and the end of its standard error if it failed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
    watcher.start()
    error = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    tail = error.decode(errors="replace").strip().splitlines()[-1:] if process.returncode else []
    return (
        wall,
        usage.ru_utime + usage.ru_stime,
        peak[0],
        " ".join(tail) or ("failed" if process.returncode else ""),
    )


def _watch(pid: int, peak: list[float]) -> None:
    """Peak memory of a process in MB, from its own high-water mark.

    `ru_maxrss` would not do: it starts with the memory of the process that forked.
    """
    while True:
        try:
            with Path(f"/proc/{pid}/status").open() as file:
                marks = [line for line in file if line.startswith("VmHWM")]
        except OSError:
            return
        if not marks:
            return
        peak[0] = int(marks[0].split()[1]) / 1024
        time.sleep(0.01)


def size_mb(path: Path) -> float:
    """Size of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files) / 1e6


def table(rows: Sequence[Runs], *, source_mb: float, reference: str) -> str:
    """Markdown table; ratios are the median's against `reference`, larger than 1 where the reference is faster."""
    base = next((row for row in rows if row.name == reference and row.wall), None)
    lines = [
        "| contender | wall s (median [min-max]) | CPU s | MB/s | peak MB | output MB | wall ratio | CPU ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if not row.wall:
            lines.append(f"| {row.name} | {row.note or 'not run'} | | | | | | |")
            continue
        wall, cpu = statistics.median(row.wall), statistics.median(row.cpu)
        ratios = (wall / statistics.median(base.wall), cpu / statistics.median(base.cpu)) if base else (1.0, 1.0)
        lines.append(
            f"| {row.name} | {wall:.2f} [{min(row.wall):.2f}-{max(row.wall):.2f}] | {cpu:.2f} | {source_mb / wall:.0f} "
            f"| {max(row.rss):.0f} | {row.output:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """One line on where this was measured."""
    with Path("/proc/cpuinfo").open() as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    return f"{os.cpu_count()} × {model}, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}"

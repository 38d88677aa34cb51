"""Kernels are compiled anew when any of the room's sources changes."""

from pathlib import Path

from bigimage.rasterize import jit


def test_the_fingerprint_follows_every_source(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "b.py").write_text("y = 1")
    first = jit.fingerprint(tmp_path)
    (tmp_path / "notes.txt").write_text("no source")
    assert jit.fingerprint(tmp_path) == first
    (tmp_path / "b.py").write_text("y = 2")
    assert jit.fingerprint(tmp_path) != first


def test_a_kernel_carries_the_fingerprint_and_runs() -> None:
    @jit.kernel
    def half(x: float) -> float:
        return x / 2

    assert half(3.0) == 1.5
    assert half.py_func.__qualname__.endswith(jit.fingerprint(Path(jit.__file__).parent))  # pyright: ignore


def test_division_follows_ieee_754() -> None:
    @jit.kernel
    def ratio(x: float, y: float) -> float:
        return x / y

    assert ratio(1.0, 0.0) == float("inf")

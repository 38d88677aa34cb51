"""Kernels are compiled anew when a source changes that any of them is made of."""

from pathlib import Path

from bigimage.rasterize import jit


def test_the_fingerprint_follows_kernels_and_what_they_import(tmp_path: Path) -> None:
    (tmp_path / "loops.py").write_text(
        "from bigimage.rasterize.jit import kernel\nfrom bigimage.rasterize.sizes import A\n"
    )
    (tmp_path / "sizes.py").write_text("from bigimage.rasterize.deeper import A")
    (tmp_path / "deeper.py").write_text("A = 1")
    (tmp_path / "other.py").write_text("from bigimage.rasterize.loops import x")
    first = jit.fingerprint(tmp_path)
    (tmp_path / "other.py").write_text("from bigimage.rasterize.loops import y")
    (tmp_path / "notes.txt").write_text("no source")
    assert jit.fingerprint(tmp_path) == first
    (tmp_path / "deeper.py").write_text("A = 2")
    second = jit.fingerprint(tmp_path)
    (tmp_path / "loops.py").write_text("from bigimage.rasterize.jit import kernel\n")
    assert len({first, second, jit.fingerprint(tmp_path)}) == 3


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

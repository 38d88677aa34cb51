"""Every verdict has an example that returns it, and a line of docs/verdicts.md that says what the example says."""

import re
from pathlib import Path

import pytest

from bigimage.sources.dicom.verdicts import REFUSED_WHEN_STRICT, Code
from tests.unit.sources.dicom.cases import EXAMPLES
from tests.unit.sources.dicom.series import DataError, opened

ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| (.+) \| (.+) \| (yes|) ?\|$", re.MULTILINE)


def rows(root: Path) -> dict[str, tuple[str, bool]]:
    """Code → (message of the example, whether `strict` refuses)."""
    page = (root / "docs" / "verdicts.md").read_text("utf-8")
    found = ROW.findall(page)
    codes = [code for code, *_ in found]
    assert len(codes) == len(set(codes))
    return {code: (message, strict == "yes") for code, _, message, strict in found}


def test_every_verdict_has_an_example_and_a_line_in_the_documents(root: Path) -> None:
    assert set(EXAMPLES) == set(Code)
    assert list(rows(root)) == [str(code) for code in Code]
    assert {code for code, (_, strict) in rows(root).items() if strict} == {str(code) for code in REFUSED_WHEN_STRICT}


@pytest.mark.parametrize("code", list(Code))
def test_the_example_returns_the_verdict(tmp_path: Path, root: Path, code: Code) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    options = EXAMPLES[code](folder) or {}
    path = options.pop("path", folder)
    sources = opened(path, **options)
    told = [verdict for source in sources for verdict in source.info.verdicts if verdict.code == code]
    assert rows(root)[code][0] in {verdict.message for verdict in told}
    if code in REFUSED_WHEN_STRICT:
        with pytest.raises(DataError) as caught:
            opened(path, strict=True, **options)
        assert any(problem.startswith(f"{code}: ") for problem in caught.value.problems)
    else:
        assert opened(path, strict=code not in (Code.REGULARIZED, Code.INCOMPLETE), **options)

"""Refusals: every problem with its place, and what is said of many places is said once."""

from bigimage.model.problem import Invalid, Problem


def test_problems_that_say_the_same_are_told_once_with_all_their_places() -> None:
    same = [Problem("label", f"features/{k}", "it has no label") for k in range(3)]
    other = Problem("value", "features/7", "it is no number")
    refused = Invalid("the file is refused", [same[0], other, *same[1:]])
    assert str(refused) == (
        "the file is refused: it has no label (features/0, features/1, features/2); features/7: it is no number"
    )
    assert len(refused.details) == 4
    assert refused.problems == (*map(str, (same[0], other)), *map(str, same[1:]))


def test_one_problem_is_told_with_its_place() -> None:
    assert str(Invalid("refused", [Problem("value", "a", "is wrong")])) == "refused: a: is wrong"
    assert str(Invalid("refused", [Problem("value", "", "all is wrong")] * 2)) == "refused: all is wrong"

"""The cache never outweighs its budget and forgets what was used longest ago."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from bigimage.cache import ByteLRU

operations = st.lists(st.tuples(st.sampled_from("gpc"), st.integers(0, 6), st.integers(0, 12)), max_size=60)


@given(st.integers(0, 20), operations)
def test_it_behaves_like_a_list_ordered_by_use(budget: int, steps: list[tuple[str, int, int]]) -> None:
    cache: ByteLRU[int] = ByteLRU(budget)
    model: list[tuple[int, int, int]] = []  # key, value, size, oldest first
    for number, (what, key, size) in enumerate(steps):
        if what == "c":
            cache.clear()
            model.clear()
        elif what == "g":
            known = [item for item in model if item[0] == key]
            assert cache.get(key) == (known[0][1] if known else None)
            model = [item for item in model if item[0] != key] + known
        else:
            cache.put(key, number, size)
            model = [item for item in model if item[0] != key]
            if size <= budget:
                model.append((key, number, size))
                while sum(item[2] for item in model) > budget:
                    model.pop(0)
        assert len(cache) == len(model)
        assert cache.weight == sum(item[2] for item in model) <= budget


def test_the_value_used_longest_ago_goes_first() -> None:
    cache: ByteLRU[str] = ByteLRU(3)
    for key in "abc":
        cache.put(key, key, 1)
    cache.get("a")
    cache.put("d", "d", 1)
    assert [cache.get(key) for key in "abcd"] == ["a", None, "c", "d"]


def test_a_value_too_heavy_replaces_nothing_but_its_older_self() -> None:
    cache: ByteLRU[str] = ByteLRU(3)
    cache.put("a", "a", 1)
    cache.put("b", "b", 1)
    cache.put("b", "heavy", 4)
    assert cache.get("a") == "a"
    assert cache.get("b") is None


def test_threads_leave_it_consistent() -> None:
    cache: ByteLRU[int] = ByteLRU(50)

    def work(seed: int) -> None:
        for i in range(500):
            key = (seed * 31 + i * 17) % 23
            found = cache.get(key)
            assert found is None or found == key
            cache.put(key, key, key % 7 + 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert cache.weight <= 50
    assert cache.weight == sum(key % 7 + 1 for key in range(23) if cache.get(key) is not None)

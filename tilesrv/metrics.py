"""What /metrics tells Prometheus; labels come from fixed sets, so no client can make them grow."""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


def _has_shared_folder() -> bool:
    """Whether prometheus_client keeps its counts in files that several processes share."""
    try:
        MultiProcessCollector(CollectorRegistry())
    except ValueError:
        return False
    return True


class Metrics:
    """Counters of one server process.

    With several workers, `python -m tilesrv` gives prometheus_client a folder that the workers share
    (PROMETHEUS_MULTIPROC_DIR), and the page sums over all of them; otherwise it tells this process's own.
    """

    def __init__(self) -> None:
        self._shared = _has_shared_folder()
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "bigimage_http_requests",
            "Answers by route, method and status",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "bigimage_http_request_seconds",
            "Time from a request to the end of its answer",
            ["route"],
            registry=self._registry,
            buckets=SECONDS,
        )
        self._tiles = Counter(
            "bigimage_tiles",
            "Tiles by where they came from: cache, render or not-modified",
            ["origin"],
            registry=self._registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._origins = {name: self._tiles.labels(name) for name in ("cache", "render", "not-modified")}
        if not self._shared:
            ProcessCollector(registry=self._registry)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer; `route` is a path template."""
        key = (route, method if method in METHODS else "other", status)
        pair = self._children.get(key)
        if pair is None:
            pair = self._requests.labels(*map(str, key)), self._seconds.labels(route)
            self._children[key] = pair
        pair[0].inc()
        pair[1].observe(seconds)

    def tile(self, origin: str) -> None:
        """Count one tile from `cache`, `render` or `not-modified`."""
        self._origins[origin].inc()

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        if not self._shared:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)

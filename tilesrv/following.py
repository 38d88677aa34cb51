"""Keeping mask layers up to date after edits, in a thread of each server process; a layer has one painter at a time."""

import logging
import threading

from bigimage.catalogue import IMAGES
from bigimage.errors import BackendError, BigImageError, Conflict
from bigimage.pyramid.labels import layer_names
from bigimage.rasterize.layer import read_painted
from bigimage.store.door import Watch
from bigimage.workspace import Workspace

LOOK = 1.0
"""Seconds of one wait for changes."""
PATIENCE = 2.0
"""Seconds that painting may go on when the server ends."""
_log = logging.getLogger(__name__)


class Following:
    """Paints what changed of every layer that was painted once, as soon as it changed."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen: dict[str, int] = {}
        """Revision of each image up to which its layers are painted, as far as is known here."""

    def start(self) -> None:
        """Begin to follow."""
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; painting that takes long is broken off when the process ends, and gone on with by the next one."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        """Wait for changes and paint them; a database or disk that fails is asked again."""
        watch: Watch | None = None
        while not self._stop.is_set():
            try:
                if watch is None:
                    if not self._has_layers():
                        self._stop.wait(LOOK)
                        continue
                    watch = self._workspace.annotations.store.watch()
                    self.paint()  # what came before the watch began would be missed otherwise
                if watch.wait(LOOK) or self._left():
                    self.paint()
            except BackendError as error:
                _log.warning("mask layers cannot be followed for the moment: %s", error)
                watch = None
                self._stop.wait(LOOK)
        if watch is not None:
            watch.close()

    def _has_layers(self) -> bool:
        """Whether any image has a layer; a workspace without any need not open its database."""
        folder = self._workspace.path / IMAGES
        return folder.is_dir() and any(folder.glob("*/labels/zarr.json"))

    def _left(self) -> bool:
        """Whether a layer was left to somebody else who was painting it."""
        return any(number < 0 for number in self._seen.values())

    def paint(self) -> None:
        """Bring the layers of every image that changed up to date. Raises BackendError."""
        for image, revision in self._workspace.annotations.store.images().items():
            if self._stop.is_set():
                return
            if self._seen.get(image) != revision.number:
                self._seen[image] = revision.number if self._paint(image, revision.number) else -1

    def _paint(self, image: str, revision: int) -> bool:
        """Paint what changed of an image's layers; whether all of them show it now."""
        folder = self._workspace.path / IMAGES / image
        try:
            done = [self._follow(image, name, revision) for name in layer_names(folder)]
        except BackendError:
            raise
        except BigImageError as error:
            _log.warning("the layers of %s cannot be told: %s", image, error)
            return True
        return all(done)

    def _follow(self, image: str, name: str, revision: int) -> bool:
        """Paint what changed of a layer; whether it shows it now, or never will."""
        try:
            shown = read_painted(self._workspace.path / IMAGES / image, name)
            if shown is not None and (shown.revision is None or shown.revision < revision or shown.pending != ()):
                self._workspace.rasterize(image, layer=name, workers=1)
        except Conflict:
            return False  # another process paints it, and may have begun before the change
        except BackendError:
            raise
        except BigImageError as error:
            # such as a schema that was emptied, or a damaged layer: nothing that trying again would mend
            _log.warning("layer %s of %s cannot be painted: %s", name, image, error)
        return True

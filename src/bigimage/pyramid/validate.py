"""Checking a stored pyramid: its documents against each other and the standards, its bytes against their checksums."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bigimage.errors import BackendError, BigImageError, DataError, NotFound
from bigimage.geometry.box import IndexBox
from bigimage.pyramid import geozarr, ome
from bigimage.pyramid.labels import LABELS, layer_folder, layer_names, layer_ome
from bigimage.pyramid.location import METADATA, NAMESPACE, read_json
from bigimage.pyramid.pyramid import Pyramid, StoredArray, consolidated_documents
from bigimage.pyramid.shard import PARTIAL, ShardedArray, count_shards


def validate(path: Path, *, progress: Callable[[int, int], None] = lambda done, total: None) -> list[str]:
    """Every problem of a pyramid, as sentences that name the place; empty when it is sound.

    Documents are compared with what bigimage writes and, where the packages `ome-zarr-models` and `zarr-cm` are
    installed, judged by them too. Every stored chunk is read and its checksum and decoding are tried, those of mask
    layers too. `progress` gets (shards done, shards in all).
    """
    try:
        pyramid = Pyramid.open(path)
    except BigImageError as error:
        return [str(error)]
    problems = [*_documents(pyramid), *_judged_by_ome(path), *_judged_by_conventions(path), *_counted(pyramid)]
    arrays = [a for level in pyramid.levels for a in (level.image, level.valid) if a is not None]
    shards = [(array, index) for array in arrays for index in np.ndindex(*array.spec.shard_grid)]
    for done, (array, index) in enumerate(shards, start=1):
        problems += _shard(array, tuple(map(int, index)))
        progress(done, len(shards))
    problems += [f"{left} is left over from an interrupted write; delete it" for left in path.rglob("*" + PARTIAL)]
    for name in layer_names(path):
        problems += validate(layer_folder(path, name))
    # several checks may meet the same damage
    return list(dict.fromkeys(problems))


def _documents(pyramid: Pyramid) -> Iterator[str]:
    """Differences between the documents and what the levels' own description asks for."""
    root = read_json(pyramid.path / METADATA)
    attributes = root["attributes"]
    method = "mode" if pyramid.info.role == "labels" else "average"
    layer = attributes[NAMESPACE].get("layer")
    described = ome.multiscales(pyramid.info, pyramid.grids)
    if layer is not None:
        described = layer_ome(pyramid.info, pyramid.grids, layer["name"])
        described |= {"image-label": attributes.get("ome", {}).get("image-label")}
    expected = {
        "ome": described,
        **geozarr.root_attributes(pyramid.grids, method=method),
    }
    for key, value in expected.items():
        if attributes.get(key) != value:
            yield f"{pyramid.path / METADATA}: attribute {key!r} is not what the image's geometry asks for"
    consolidated = consolidated_documents(root)
    nodes = [str(level) for level in range(len(pyramid.levels))]
    for key in dict.fromkeys([*nodes, *consolidated]):
        try:
            stored = read_json(pyramid.path / key / METADATA)
        except (NotFound, DataError, BackendError) as error:
            yield str(error)
            continue
        if consolidated and stored != consolidated.get(key):
            yield f"{pyramid.path / key / METADATA} differs from its consolidated copy in the root document"
    for number, (level, grid) in enumerate(zip(pyramid.levels, pyramid.grids, strict=True)):
        if level.shape[-grid.ndim :] != grid.shape:
            yield f"level {number}: array of shape {level.shape} does not fit its grid {grid.shape}"


def _judged_by_ome(path: Path) -> Iterator[str]:
    """What ome-zarr-models says, where it is installed."""
    try:
        from ome_zarr_models.v05.image import Image
        from pydantic import ValidationError
    except ImportError:
        return
    import zarr

    try:
        Image.from_zarr(zarr.open_group(_without_layers(path), mode="r"))
    except (ValidationError, ValueError, LookupError, TypeError, OSError) as error:
        yield f"{path}: not OME-Zarr 0.5: {error}"


def _without_layers(path: Path) -> Any:
    """The store of an image as its judges take it: they look for the levels of labels as direct children only.

    Layers are judged one by one, as the images that they are; the image itself from its documents.
    """
    if not layer_names(path):
        return str(path)
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    root = read_json(path / METADATA)
    nodes = {k: v for k, v in consolidated_documents(root).items() if k.split("/")[0] != LABELS}
    documents = {f"{key}/{METADATA}": document for key, document in nodes.items()}
    documents[METADATA] = {k: v for k, v in root.items() if k != "consolidated_metadata"}
    make = default_buffer_prototype().buffer.from_bytes
    return MemoryStore({key: make(json.dumps(document).encode()) for key, document in documents.items()})


def _judged_by_conventions(path: Path) -> Iterator[str]:
    """What the validators of the GeoZarr conventions say, where zarr-cm is installed."""
    try:
        import zarr_cm
    except ImportError:
        return
    for document in sorted(path.glob("**/" + METADATA)):
        try:
            attributes: dict[str, Any] = read_json(document)["attributes"]
            declared = [c["name"] for c in attributes.get("zarr_conventions", [])]
        except (BigImageError, LookupError, TypeError, AttributeError) as error:
            yield f"{document}: no conventions can be read: {error}" if not isinstance(error, DataError) else str(error)
            continue
        if not declared:
            continue
        try:
            zarr_cm.validate_many(attributes, declared)
        except (ValueError, TypeError, KeyError) as error:
            yield f"{document}: conventions {', '.join(declared)}: {error}"


def _counted(pyramid: Pyramid) -> Iterator[str]:
    """Arrays that hold more or fewer shards than were stored: a missing one would read as fill."""
    for level in pyramid.levels:
        for array in (level.image, level.valid):
            if array is None or not isinstance(array, ShardedArray) or array.stored is None:
                continue
            found = count_shards(array.folder)
            if found != array.stored:
                yield f"{array.folder} holds {found} shards, but {array.stored} were stored; ingest the image again"


def _shard(array: StoredArray, index: tuple[int, ...]) -> list[str]:
    """Problems of one shard: checksums and decoding of its chunks, each named."""
    spec = array.spec
    start = tuple(i * n for i, n in zip(index, spec.shards, strict=True))
    stop = tuple(min(a + n, size) for a, n, size in zip(start, spec.shards, spec.shape, strict=True))
    problems: list[str] = []
    for position in IndexBox(start, stop).blocks(spec.chunks):
        first = tuple(p * c for p, c in zip(position, spec.chunks, strict=True))
        last = tuple(min(a + c, size) for a, c, size in zip(first, spec.chunks, spec.shape, strict=True))
        try:
            array.read(IndexBox(first, last))
        except (DataError, BackendError) as error:
            problems.append(str(error))
    return problems

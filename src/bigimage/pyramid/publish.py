"""The documents of a finished pyramid: every `zarr.json`, written just before it becomes visible."""

import shutil
from pathlib import Path
from typing import Any

from bigimage.model.image import ImageInfo
from bigimage.pyramid import geozarr, ome
from bigimage.pyramid.build import invalid_marker
from bigimage.pyramid.layout import PyramidPlan, array_attributes
from bigimage.pyramid.location import METADATA, NAMESPACE, group_document, write_json
from bigimage.pyramid.record import to_document
from bigimage.pyramid.shard import count_shards


def has_valid(root: Path, plan: PyramidPlan) -> bool:
    """Whether a finished build met invalid pixels, so that its `valid` arrays mean something."""
    return plan.levels[0].valid is not None and invalid_marker(root).exists()


def write_documents(root: Path, plan: PyramidPlan, info: ImageInfo) -> None:
    """Write all metadata of a pyramid whose shards are complete; the root document comes last.

    Where no pixel was invalid, the `valid` arrays are dropped. `info` is the final description, with its windows and
    provenance. Raises BackendError.
    """
    keep_valid = has_valid(root, plan)
    method = "mode" if info.role == "labels" else "average"
    grids = [level.grid for level in plan.levels]
    consolidated: dict[str, Any] = {}
    for number, level in enumerate(plan.levels):
        attributes = geozarr.level_attributes(level.grid)
        arrays = {"image": level.image}
        if keep_valid and level.valid is not None:
            arrays["valid"] = level.valid
        elif level.valid is not None:
            shutil.rmtree(root / str(number) / "valid", ignore_errors=True)
        group = group_document(attributes)
        write_json(root / str(number) / METADATA, group)
        consolidated[str(number)] = group
        for name, spec in arrays.items():
            document = spec.document(array_attributes(attributes, name))
            write_json(root / str(number) / name / METADATA, document)
            consolidated[f"{number}/{name}"] = document
    own = to_document(info) | {
        "may_be_invalid": keep_valid,
        "levels": [
            {
                "path": str(number),
                "shape": list(level.image.shape),
                "chunks": list(level.image.chunks),
                "shards": list(level.image.shards),
                "affine": [list(row) for row in level.grid.affine],
                "stored": {
                    name: count_shards(root / str(number) / name) for name in (("image", "valid")[: 1 + keep_valid])
                },
            }
            for number, level in enumerate(plan.levels)
        ],
    }
    root_attributes = {
        "ome": ome.multiscales(info, grids),
        **geozarr.root_attributes(grids, method=method),
        NAMESPACE: own,
    }
    write_json(root / METADATA, group_document(root_attributes, consolidated), sync=True)

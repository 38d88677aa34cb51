"""Documents of mask layers: what OME and GeoZarr readers find, beside an image that stays the same."""

from pathlib import Path

import pytest
import zarr

from bigimage.errors import InputError, NotFound
from bigimage.pyramid import labels
from bigimage.pyramid.labels import (
    TABLE,
    LabelClass,
    check_layer_name,
    color_bytes,
    layer_folder,
    layer_names,
    list_layer,
    publish_layer,
    relabel_layer,
    remove_layer,
    unfinished_folder,
    write_layer,
)
from bigimage.pyramid.layout import PyramidPlan, plan_pyramid
from bigimage.pyramid.location import METADATA, group_document, read_json, write_json
from bigimage.pyramid.pyramid import Pyramid
from bigimage.pyramid.validate import validate
from bigimage.rasterize.modes import Palette, layer_info
from tests.painting import SCHEMA, raster

CLASSES = (LabelClass(3, "house", "#ff0000"), LabelClass(7, "field", "#20c020"))


@pytest.fixture
def plan() -> PyramidPlan:
    return plan_pyramid(layer_info(raster(), "semantic", Palette.of(SCHEMA)))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    write_json(tmp_path / METADATA, group_document({"kept": 1}, {"0": group_document({})}))
    return tmp_path


def add(image: Path, plan: PyramidPlan, name: str) -> None:
    write_layer(layer_folder(image, name), plan, name=name, classes=CLASSES, facts={"mode": "semantic"}, method="mode")
    list_layer(image, name)


def test_a_layer_is_listed_and_described_for_ome_readers(image: Path, plan: PyramidPlan) -> None:
    add(image, plan, "town")
    assert read_json(image / "labels" / METADATA)["attributes"]["ome"] == {"version": "0.5", "labels": ["town"]}
    ome = read_json(layer_folder(image, "town") / METADATA)["attributes"]["ome"]
    assert ome["multiscales"][0]["name"] == "town"
    assert [d["path"] for d in ome["multiscales"][0]["datasets"]] == ["0/image", "1/image", "2/image"]
    assert ome["image-label"]["colors"][0] == {"label-value": 3, "rgba": [255, 0, 0, 255]}
    assert ome["image-label"]["properties"][1] == {"label-value": 7, "name": "field"}
    assert ome["image-label"]["source"] == {"image": "../../"}


def test_a_layer_is_a_sound_pyramid_on_the_grid_of_its_image(image: Path, plan: PyramidPlan) -> None:
    add(image, plan, "town")
    folder = layer_folder(image, "town")
    assert validate(folder) == []
    pyramid = Pyramid.open(folder)
    assert pyramid.info.grid == raster().grid
    assert pyramid.info.role == "labels"
    assert pyramid.info.axes == ("y", "x")


def test_consolidated_readers_find_layers_and_the_image_keeps_its_attributes(image: Path, plan: PyramidPlan) -> None:
    add(image, plan, "town")
    add(image, plan, "water")
    root = zarr.open_group(str(image), mode="r", use_consolidated=True)
    assert root.attrs.asdict() == {"kept": 1}
    assert root["labels/water/1/image"].shape == (300, 350)  # pyright: ignore[reportAttributeAccessIssue]
    assert set(read_json(image / METADATA)["consolidated_metadata"]["metadata"]) >= {"0", "labels", "labels/town/0"}


def test_a_removed_layer_is_gone_everywhere(image: Path, plan: PyramidPlan) -> None:
    add(image, plan, "town")
    add(image, plan, "water")
    remove_layer(image, "town")
    assert layer_names(image) == ["water"]
    assert not layer_folder(image, "town").exists()
    known = read_json(image / METADATA)["consolidated_metadata"]["metadata"]
    assert not [key for key in known if key.startswith("labels/town")]
    with pytest.raises(NotFound, match="there are water"):
        remove_layer(image, "town")


def made_beside(image: Path, plan: PyramidPlan, name: str, classes: tuple[LabelClass, ...]) -> None:
    folder = unfinished_folder(image, name)
    write_layer(folder, plan, name=name, classes=classes, facts={"mode": "semantic"}, method="mode")


def told(folder: Path) -> list[str]:
    """Names that a layer tells."""
    return [p["name"] for p in read_json(folder / METADATA)["attributes"]["ome"]["image-label"]["properties"]]


@pytest.mark.parametrize("system", ["exchanges", "renames"])
def test_a_layer_takes_its_place_in_one_step(
    image: Path, plan: PyramidPlan, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    if system == "renames":
        monkeypatch.setattr(labels, "_EXCHANGE", 1 << 30)  # a flag that no system knows
    made_beside(image, plan, "town", CLASSES[:1])
    assert layer_names(image) == []
    publish_layer(image, "town")
    assert (layer_names(image), told(layer_folder(image, "town"))) == (["town"], ["house"])
    made_beside(image, plan, "town", CLASSES)
    assert told(layer_folder(image, "town")) == ["house"]
    publish_layer(image, "town")
    assert told(layer_folder(image, "town")) == ["house", "field"]
    assert sorted(path.name for path in (image / "labels").iterdir()) == ["town", METADATA]


def test_a_layer_tells_other_values_when_they_changed(image: Path, plan: PyramidPlan) -> None:
    add(image, plan, "town")
    folder = layer_folder(image, "town")
    assert not relabel_layer(folder, CLASSES)
    assert relabel_layer(folder, [LabelClass(5, "house", None, {"annotation": "x"})])
    label = read_json(folder / METADATA)["attributes"]["ome"]["image-label"]
    # OME wants no empty list of colours
    assert label == {
        "source": {"image": "../../"},
        "properties": [{"label-value": 5, "name": "house", "annotation": "x"}],
    }
    assert validate(folder) == []


def test_the_tables_of_layers_are_consolidated_too(image: Path, plan: PyramidPlan) -> None:
    table = layer_folder(image, "town") / TABLE
    write_json(table / METADATA, group_document({"rows": 4}))
    write_json(table / "id" / METADATA, plan.levels[0].image.document({}))
    add(image, plan, "town")
    root = zarr.open_group(str(image), mode="r", use_consolidated=True)
    assert root["labels/town/instances"].attrs["rows"] == 4
    assert "labels/town/instances/id" in read_json(image / METADATA)["consolidated_metadata"]["metadata"]


def test_a_foreign_store_has_no_consolidated_documents_to_keep(tmp_path: Path, plan: PyramidPlan) -> None:
    write_json(tmp_path / METADATA, group_document({"kept": 1}))
    add(tmp_path, plan, "town")
    assert layer_names(tmp_path) == ["town"]
    assert "consolidated_metadata" not in read_json(tmp_path / METADATA)


@pytest.mark.parametrize("name", ["", "Town", "../up", "zarr.json", "a/b", "x" * 65, "-x"])
def test_names_that_could_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="not a layer's name"):
        check_layer_name(name)


def test_colours_are_bytes() -> None:
    assert color_bytes("#1f77b4") == (31, 119, 180, 255)

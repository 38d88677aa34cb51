"""The routes of planes, over a real server."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from bigimage.geometry.planes import PLANES, PlaneView
from bigimage.settings import Settings
from bigimage.workspace import open_workspace
from tests.scans import PLACES, Scans, make_scans
from tests.unit.tilesrv.conftest import serving
from tests.volumes import shown
from tilesrv.app import create_app


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    return make_scans(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def client(scans: Scans) -> Iterator[httpx.Client]:
    with serving(create_app(scans.workspace)) as address, httpx.Client(base_url=address, timeout=120) as made:
        yield made


def pixels(response: httpx.Response) -> np.ndarray:
    """Picture (h, w[, c]) or raw array of a good answer."""
    assert response.status_code == 200, response.text
    if response.headers["content-type"] == "application/octet-stream":
        return np.load(io.BytesIO(response.content))
    return np.asarray(Image.open(io.BytesIO(response.content)))


def plane(scans: Scans, image: str, name: Any, index: int) -> np.ndarray:
    return shown(PlaneView.of(scans.grids[image], name), scans.arrays[image], index)


def tones(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.floor(np.clip((values - low) * 255.0 / (high - low), 0, 255) + 0.5).astype(np.uint8)


@pytest.mark.parametrize("image", ["ct", "turned", "tilted", "uneven", "padded", "labels", "inverted"])
@pytest.mark.parametrize("name", PLANES)
def test_raw_planes_are_the_stored_values(client: httpx.Client, scans: Scans, image: str, name: str) -> None:
    found = pixels(client.get(f"/images/{image}/planes/{name}/4.npy"))
    assert found.dtype == scans.arrays[image].dtype
    assert (found == plane(scans, image, name, 4)[None]).all()


def test_pictures_show_hounsfield_units(client: httpx.Client, scans: Scans) -> None:
    hu = plane(scans, "ct", "axial", 4).astype(float) - 1024
    assert (pixels(client.get("/images/ct/planes/axial/4.png")) == tones(hu, -160, 239)).all()
    assert (pixels(client.get("/images/ct/planes/axial/4.png?window=0,300")) == tones(hu, -150, 150)).all()
    assert (pixels(client.get("/images/ct/planes/axial/4.png?rescale=-50,50")) == tones(hu, -50, 50)).all()
    assert (pixels(client.get("/images/ct/planes/axial/4.png?preset=lung")) == tones(hu, -1350, 150)).all()
    assert (pixels(client.get("/images/ct/planes/axial/4.png?preset=file-2")) == tones(hu, -1400, 200)).all()
    physical = pixels(client.get("/images/ct/planes/axial/4.npy?physical=true"))
    assert physical.dtype == np.float32
    assert (physical[0] == hu).all()


def test_whole_pictures_have_square_pixels(client: httpx.Client) -> None:
    answer = client.get("/images/ct/planes/coronal/9.png")
    assert pixels(answer).shape == (62, 48)
    assert answer.headers["x-pixel-spacing"] == "0.8,0.8"
    assert answer.headers["x-orientation"] == "R,L,H,F"
    assert answer.headers["x-window"] == "40,400"
    assert answer.headers["x-unit"] == "HU"
    assert "x-sop-instance-uid" not in answer.headers
    stored = client.get("/images/ct/planes/coronal/9.png?pixels=stored")
    assert pixels(stored).shape == (20, 48)
    assert stored.headers["x-pixel-spacing"] == "2.5,0.8"
    square = client.get("/images/ct/planes/coronal/9.npy?pixels=square")
    assert pixels(square).shape == (1, 62, 48)
    small = client.get("/images/ct/planes/coronal/9.webp?max_size=31")
    assert pixels(small).shape[:2] == (31, 24)
    assert small.headers["x-pixel-spacing"] == "1.6,1.6"


def test_axial_pictures_name_their_instance(client: httpx.Client) -> None:
    answer = client.get("/images/ct/planes/axial/4.jpg")
    assert answer.headers["x-sop-instance-uid"] == "1.2.840.4"
    told = client.get("/images/ct/planes/axial/4").json()
    assert told["instance"] == {"sop_instance_uid": "1.2.840.4", "frame": None}
    assert client.get("/images/ct/planes/coronal/4").json()["instance"] is None


def test_monochrome1_is_shown_inverted(client: httpx.Client, scans: Scans) -> None:
    hu = plane(scans, "inverted", "axial", 4).astype(float) - 1024
    found = pixels(client.get("/images/inverted/planes/axial/4.png?window=0,100")).astype(int)
    assert np.abs(found + tones(hu, -50, 50) - 255).max() <= 1
    assert (found[hu <= -50] == 255).all()
    assert (found[hu >= 50] == 0).all()
    assert {0, 255} <= set(np.unique(found))


def test_padding_is_transparent_or_black(client: httpx.Client) -> None:
    found = pixels(client.get("/images/padded/planes/axial/4.png"))
    assert found.shape == (40, 48, 2)
    assert (found[:, :9] == 0).all()
    assert (found[:, 9:, 1] == 255).all()
    assert pixels(client.get("/images/padded/planes/axial/4.jpg"))[:, :8].max() < 12
    physical = pixels(client.get("/images/padded/planes/axial/4.npy?physical=true"))
    assert np.isnan(physical[0, :, :9]).all()
    assert not np.isnan(physical[0, :, 9:]).any()


def test_the_corners_of_a_leaning_picture_are_transparent(client: httpx.Client) -> None:
    found = pixels(client.get("/images/tilted/planes/sagittal/20.png"))
    alpha = found[..., 1]
    assert alpha[0, 0] == alpha[-1, -1] == 0
    assert alpha[-1, 0] == alpha[0, -1] == 255
    assert (found[alpha == 0, 0] == 0).all()


@pytest.mark.parametrize("fmt", ["png", "npy"])
def test_tiles_are_served_padded(client: httpx.Client, scans: Scans, fmt: str) -> None:
    answer = client.get(f"/images/ct/planes/axial/4/tiles/0/0/0.{fmt}?window=0,300")
    found = pixels(answer)
    stored = plane(scans, "ct", "axial", 4)
    if fmt == "npy":
        assert found.shape == (1, 256, 256)
        assert (found[0, :40, :48] == stored).all()
        assert not found[0, 40:].any()
    else:
        assert found.shape == (256, 256, 2)
        assert (found[:40, :48, 0] == tones(stored.astype(float) - 1024, -150, 150)).all()
        assert not found[40:, :, 1].any()
    assert answer.headers["x-pixel-spacing"] == "0.8,0.8"
    assert pixels(client.get("/images/ct/planes/axial/4/tiles/0/0/0.npy?tilesize=512")).shape == (1, 512, 512)


def test_tiles_of_pictures_and_raw_tiles_say_what_pixels_they_have(client: httpx.Client) -> None:
    square = client.get("/images/ct/planes/coronal/4/tiles/0/0/0.png")
    assert square.headers["x-pixel-spacing"] == "0.8,0.8"
    stored = client.get("/images/ct/planes/coronal/4/tiles/0/0/0.npy")
    assert stored.headers["x-pixel-spacing"] == "2.5,0.8"


def test_entity_tags_follow_what_is_asked(client: httpx.Client) -> None:
    address = "/images/ct/planes/sagittal/4.png"
    first = client.get(address)
    again = client.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["x-orientation"] == "A,P,H,F"
    others = ["?window=1,2", "?preset=lung", "?pixels=stored", "?resampling=nearest", "?max_size=31"]
    tags = {first.headers["etag"], *(client.get(address + other).headers["etag"] for other in others)}
    assert len(tags) == 6
    assert client.get("/images/ct/planes/sagittal/5.png").headers["etag"] not in tags
    tile = "/images/ct/planes/sagittal/4/tiles/0/0/0.png"
    tag = client.get(tile).headers["etag"]
    assert client.get(tile, headers={"If-None-Match": tag}).status_code == 304
    assert client.head(address).headers["etag"] == first.headers["etag"]


def test_times_bands_and_colours(client: httpx.Client, scans: Scans) -> None:
    later = pixels(client.get("/images/cine/planes/axial/3.npy?t=1"))
    assert (later[0] == scans.arrays["cine"][1, 3]).all()
    assert client.get("/images/cine/planes/axial/3.npy?t=2").status_code == 400
    assert client.get("/images/cine/planes/axial/3?t=2").status_code == 400
    assert client.get("/images/cine/planes/axial/3?t=1").json()["t"] == 1
    colour = pixels(client.get("/images/colour/planes/axial/3.png"))
    assert (colour == np.moveaxis(scans.arrays["colour"][:, 3], 0, -1)).all()
    assert pixels(client.get("/images/colour/planes/axial/3.npy?bands=3,1")).shape == (2, 40, 48)
    assert pixels(client.get("/images/ct/planes/axial/3.png?colormap=viridis")).shape == (40, 48, 3)


def test_pet_is_shown_in_its_unit_across_slices(client: httpx.Client) -> None:
    found = pixels(client.get("/images/pet/planes/coronal/7.png?rescale=0,9000"))
    raw = pixels(client.get("/images/pet/planes/coronal/7.npy?physical=true&pixels=square"))[0]
    assert (found == tones(raw.astype(np.float64), 0, 9000)).mean() > 0.999
    axial = pixels(client.get("/images/pet/planes/axial/3.png?rescale=0,9000"))
    values = pixels(client.get("/images/pet/planes/axial/3.npy?physical=true"))[0]
    assert (axial == tones(values.astype(np.float64), 0, 9000)).all()
    refused = client.get("/images/pet/planes/coronal/7.npy?pixels=square")
    assert refused.status_code == 400
    assert "physical=true" in refused.json()["detail"]


def test_the_document_of_a_slice_places_every_pixel(client: httpx.Client, scans: Scans) -> None:
    for image in ("ct", "turned", "tilted"):
        for name in PLANES:
            told = client.get(f"/images/{image}/planes/{name}/5").json()
            raw = pixels(client.get(f"/images/{image}/planes/{name}/5.npy"))[0]
            affine = np.array(told["stored"]["grid"]["affine"])
            assert list(raw.shape) == told["stored"]["grid"]["shape"][1:]
            row, column = 3, 11
            x, y, z = affine @ (0.5, row + 0.5, column + 0.5, 1)
            value = client.get(f"/images/{image}/point?coord={x},{y},{z}").json()
            assert value["values"] == [raw[row, column]]
            assert value["physical"] == [raw[row, column] - 1024]


def test_what_is_told_about_planes(client: httpx.Client) -> None:
    told = client.get("/images/ct/planes").json()
    assert [(p["plane"], p["count"], p["default"], p["axis"]) for p in told["planes"]] == [
        ("axial", 20, 10, "z"),
        ("coronal", 40, 20, "y"),
        ("sagittal", 48, 24, "x"),
    ]
    sagittal = client.get(told["planes"][2]["href"]).json()
    assert sagittal["letters"] == {"left": "A", "right": "P", "top": "H", "bottom": "F"}
    assert sagittal["shape"] == [62, 40]
    assert sagittal["spacing"] == pytest.approx([0.8, 0.8])
    assert [w["name"] for w in sagittal["windows"]][:3] == ["abdomen-std", "file-2", "soft-tissue"]
    picture = sagittal["picture"].replace("{index}", "24")
    assert pixels(client.get(picture)).shape == (62, 40)
    for kind in sagittal["pixels"].values():
        for tiles in kind["tiles"]:
            address = tiles["template"].replace("{index}", "7")
            for zoom in tiles["zooms"]:
                last = (zoom["columns"] - 1, zoom["rows"] - 1)
                tile = address.format(z=zoom["z"], x=last[0], y=last[1])
                assert pixels(client.get(tile)).shape[:2] == (tiles["tilesize"],) * 2
    windows = client.get("/images/ct/windows").json()
    assert windows["unit"] == "HU"
    assert windows["windows"] == sagittal["windows"]
    assert client.get("/images/raster/windows").json()["unit"] is None


def test_an_oblique_plane_along_the_volume_is_the_plane(client: httpx.Client, scans: Scans) -> None:
    told = client.get("/images/ct/planes/coronal/9").json()
    place = "origin=" + ",".join(map(str, told["origin"])) + "&u=0.8,0,0&v=0,0,-0.8&size=48,62"
    straight = pixels(client.get("/images/ct/planes/coronal/9.npy?pixels=square"))
    cut = client.get(f"/images/ct/planes/oblique.npy?{place}")
    assert np.abs(pixels(cut).astype(int) - straight).max() <= 1
    assert cut.headers["x-orientation"] == "R,L,H,F"
    assert cut.headers["x-pixel-spacing"] == "0.8,0.8"
    picture = client.get(f"/images/ct/planes/oblique.png?{place}&preset=abdomen-std")
    assert pixels(picture).shape == (62, 48)
    about = client.get(f"/images/ct/planes/oblique?{place}").json()
    assert about["letters"] == told["letters"]
    assert about["level"] == 0
    corner = np.array(about["grid"]["affine"]) @ (0.5, 0.5, 0.5, 1)
    assert corner == pytest.approx(told["origin"])
    again = client.get(f"/images/ct/planes/oblique.npy?{place}", headers={"If-None-Match": cut.headers["etag"]})
    assert again.status_code == 304


def test_oblique_planes_leave_the_volume_transparently(client: httpx.Client, scans: Scans) -> None:
    middle = PLACES.to_world(np.array(PLACES.shape) / 2)
    place = f"origin={middle[0]},{middle[1]},{middle[2]}&u=0.5,0.3,0.2&v=0,0.4,-0.6&size=200,150"
    found = pixels(client.get(f"/images/ct/planes/oblique.png?{place}"))
    assert found.shape == (150, 200, 2)
    assert found[0, 0, 1] == 255
    assert found[-1, -1, 1] == 0
    physical = pixels(client.get(f"/images/pet/planes/oblique.npy?{place}&physical=true"))
    assert physical.dtype == np.float32
    assert client.get(f"/images/pet/planes/oblique.npy?{place}").status_code == 400
    assert pixels(client.get(f"/images/pet/planes/oblique.png?{place}")).shape == (150, 200, 2)
    labels = pixels(client.get(f"/images/labels/planes/oblique.npy?{place}"))
    assert set(np.unique(labels)) <= set(range(7))


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("/images/ct/planes/axial/20.png", 404, "there are 20"),
        ("/images/ct/planes/axial/20", 404, "there are 20"),
        ("/images/ct/planes/axial/20/tiles/0/0/0.png", 404, "there are 20"),
        ("/images/ct/planes/axial/-1.png", 400, "index"),
        ("/images/ct/planes/axial/1.5.png", 400, "index"),
        ("/images/ct/planes/axial/x", 400, "index"),
        ("/images/ct/planes/sideways", 400, "axial, coronal, sagittal"),
        ("/images/ct/planes/axial/3/tiles/1/0/0.png", 404, "zoom 1 does not exist"),
        ("/images/ct/planes/axial/3/tiles/0/1/0.png", 404, "tile 0/1/0"),
        ("/images/ct/planes/axial/3.gif", 400, "fmt"),
        ("/images/ct/planes/axial/3.png?window=1", 400, "window"),
        ("/images/ct/planes/axial/3.png?preset=none", 400, "it has abdomen-std"),
        ("/images/ct/planes/axial/3.png?preset=lung&window=1,2", 400, "give one"),
        ("/images/ct/planes/axial/3.png?resampling=cubic", 400, "resampling"),
        ("/images/labels/planes/coronal/3.png?resampling=bilinear", 400, "labels"),
        ("/images/ct/planes/axial/3.png?bands=2", 400, "no band 2"),
        ("/images/ct/planes/oblique.png?origin=0,0,0&u=1,0,0&v=0,1,0", 400, "size is missing"),
        ("/images/ct/planes/oblique.png?origin=0,0,0&u=1,0,0&v=2,0,0&size=9,9", 400, "span no plane"),
        ("/images/ct/planes/oblique.png?origin=0,0,0&u=1,0,0&v=0,1,0&size=9999,9", 400, "size"),
        ("/images/raster/planes", 404, "not a volume"),
        ("/images/raster/planes/axial/0.png", 404, "not a volume"),
        ("/images/raster/planes/oblique.png?origin=0,0,0&u=1,0,0&v=0,1,0&size=9,9", 404, "not a volume"),
        ("/images/nobody/planes", 404, "nobody"),
    ],
)
def test_nonsense_is_refused_with_the_reason(client: httpx.Client, address: str, status: int, says: str) -> None:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json()["detail"]


def test_work_is_bounded(tmp_path: Path, scans: Scans) -> None:
    space = open_workspace(settings=Settings(workspace=scans.workspace.path, max_request_pixels=1000))
    with serving(create_app(space)) as address, httpx.Client(base_url=address, timeout=60) as client:
        whole = client.get("/images/ct/planes/axial/3.png")
        assert whole.status_code == 413
        place = "origin=-30,20,100&u=0.8,0,0&v=0,0.8,0.1&size=48,40"
        oblique = client.get(f"/images/ct/planes/oblique.png?{place}")
        assert oblique.status_code == 413
        assert "fewer or larger steps" in oblique.json()["detail"]


@pytest.mark.parametrize("image", ["ct", "turned", "tilted", "uneven", "labels"])
def test_the_preview_of_a_volume_is_its_middle_slice(client: httpx.Client, scans: Scans, image: str) -> None:
    stack = next(name for name in PLANES if PlaneView.of(scans.grids[image], name).is_stack)
    middle = f"/images/{image}/planes/{stack}/{scans.grids[image].shape[0] // 2}"
    found = pixels(client.get(f"/images/{image}/preview.png?max_size=2048"))
    assert (found == pixels(client.get(f"{middle}.png"))).all()
    assert max(pixels(client.get(f"/images/{image}/preview.jpg?max_size=9")).shape[:2]) == 9


def test_the_record_of_a_volume_leads_to_its_planes(client: httpx.Client) -> None:
    links = client.get("/images/ct").json()["links"]
    assert sorted(links) == ["planes", "preview"]
    assert all(client.get(address).status_code == 200 for address in links.values())

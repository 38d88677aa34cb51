"""Run by the system's Python, which has QGIS: opens a server's layers as a user of QGIS would, and tells what it sees.

    python3 qgis_reads.py ADDRESS IMAGE PICTURE

Prints one JSON object, and draws the annotations and the vector tiles to PICTURE-features.png and PICTURE-tiles.png.
"""

import json
import os
import sys
from urllib.parse import quote

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeatureRequest,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsRasterLayer,
    QgsVectorLayer,
    QgsVectorTileLayer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

SIDE = 400


def draw(layer, crs, extent, path):
    """Draw a layer; the number of its colours."""
    view = QgsMapSettings()
    view.setLayers([layer])
    view.setDestinationCrs(QgsCoordinateReferenceSystem(crs))
    view.setExtent(extent)
    view.setOutputSize(QSize(SIDE, SIDE))
    view.setBackgroundColor(QColor("white"))
    job = QgsMapRendererSequentialJob(view)
    job.start()
    job.waitForFinished()
    picture = job.renderedImage()
    picture.save(path)
    return len({picture.pixel(x, y) for x in range(SIDE) for y in range(SIDE)})


def main():
    """Open everything, and print what was seen."""
    address, image, path = sys.argv[1:]
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    source = f" pagingEnabled='true' pageSize='10' typename='{image}' url='{address}/ogc'"
    features = QgsVectorLayer(source, "features", "OAPIF")
    listed = list(features.getFeatures())
    first = listed[0].geometry().boundingBox()
    tiles = f"{address}/images/{image}/annotations/tiles/WebMercatorQuad/{{z}}/{{x}}/{{y}}.pbf"
    vector = QgsVectorTileLayer(f"type=xyz&url={quote(tiles)}&zmin=0&zmax=24", "tiles")
    capabilities = quote(f"{address}/images/{image}/wmts")
    picture = QgsRasterLayer(
        "crs=EPSG:32632&dpiMode=7&format=image/png&styles=default&tileMatrixSet=native"
        f"&layers={image}&url={capabilities}",
        "pixels",
        "wms",
    )
    extent = picture.extent()
    seen = {
        "valid": [layer.isValid() for layer in (features, vector, picture)],
        "counted": features.featureCount(),
        "read": len(listed),
        "fields": {field.name(): field.typeName() for field in features.fields()},
        "labels": sorted({feature["label"] for feature in listed}),
        "in the first one's box": sum(1 for _ in features.getFeatures(QgsFeatureRequest(first))),
        "crs": picture.crs().authid(),
        "extent": [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()],
        "colours": {
            "features": draw(features, "EPSG:32632", extent, f"{path}-features.png"),
            "tiles": draw(vector, "EPSG:32632", extent, f"{path}-tiles.png"),
            "pixels": draw(picture, "EPSG:32632", extent, f"{path}-pixels.png"),
        },
    }
    print(json.dumps(seen), flush=True)
    os._exit(0)  # QGIS may crash while its parts are taken down


main()

// Shows an image's annotations, named by ?url=, through OpenLayers' own vector tiles, in the image's own grid.
import Map from 'ol/Map.js';
import View from 'ol/View.js';
import MVT from 'ol/format/MVT.js';
import VectorTileLayer from 'ol/layer/VectorTile.js';
import {Projection} from 'ol/proj.js';
import VectorTile from 'ol/source/VectorTile.js';
import {Circle, Fill, Stroke, Style, Text} from 'ol/style.js';
import TileGrid from 'ol/tilegrid/TileGrid.js';

const parameters = new URLSearchParams(location.search);
const url = parameters.get('url');
const set = await (await fetch(`${url}/tiles/native`)).json();
const tiles = (await (await fetch(`${url}/annotations/tilejson.json?tms=native`)).json()).tiles[0];
const matrices = set.tileMatrixSet.tileMatrices;
const extent = parameters.get('extent').split(',').map(Number);
const projection = new Projection({code: 'IMAGE', units: 'm', extent});
const tileGrid = new TileGrid({
  extent,
  origins: matrices.map((m) => m.pointOfOrigin),
  resolutions: matrices.map((m) => m.cellSize),
  sizes: matrices.map((m) => [m.matrixWidth, m.matrixHeight]),
  tileSize: 256,
});
const source = new VectorTile({format: new MVT(), url: tiles, tileGrid, projection, transition: 0, wrapX: false});
const colors = {field: '#00aa00', house: '#cc0000', tree: '#0000cc'};
const drawn = (feature) => new Style({
  fill: new Fill({color: colors[feature.get('label')]}),
  stroke: new Stroke({color: '#000', width: 1}),
});
const counted = (feature) => new Style({
  image: new Circle({radius: 9, fill: new Fill({color: colors[feature.get('label')]})}),
  text: new Text({text: String(feature.get('count')), fill: new Fill({color: '#fff'})}),
});
const layer = new VectorTileLayer({
  source,
  style: (feature) => (feature.get('layer') === 'counts' ? counted(feature) : drawn(feature)),
});
const map = new Map({
  target: 'map',
  controls: [],
  layers: [layer],
  view: new View({
    projection,
    center: [(extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2],
    resolution: matrices[Number(parameters.get('zoom'))].cellSize,
  }),
});
window.featuresAt = (x, y) =>
  map.getFeaturesAtPixel([x, y]).map((f) => ({...f.getProperties(), number: f.getId()}));
map.once('rendercomplete', () => (window.drawn = true));

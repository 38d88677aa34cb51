// Shows one pyramid, named by ?url=, through OpenLayers' own GeoZarr source, in the store's own projection.
import Map from 'ol/Map.js';
import View from 'ol/View.js';
import TileLayer from 'ol/layer/WebGLTile.js';
import GeoZarr from 'ol/source/GeoZarr.js';
import {get as getProjection} from 'ol/proj.js';
import {register} from 'ol/proj/proj4.js';
import proj4 from 'proj4';

const parameters = new URLSearchParams(location.search);
proj4.defs(parameters.get('code'), parameters.get('proj4'));
register(proj4);

const top = Number(parameters.get('max'));
const source = new GeoZarr({
  url: parameters.get('url'),
  variable: 'image',
  dimensions: {c: [0, 1, 2]},
  transition: 0,
});
const scaled = (band) => ['/', ['band', band], top];
const map = new Map({
  target: 'map',
  controls: [],
  layers: [new TileLayer({source, style: {color: ['array', scaled(1), scaled(2), scaled(3), 1]}})],
  view: new View({projection: getProjection(parameters.get('code'))}),
});
map.getView().fit(parameters.get('extent').split(',').map(Number), {size: map.getSize()});
window.sourceState = () => source.getState();
map.once('rendercomplete', () => {
  if (source.getState() === 'ready') {
    window.drawn = true;
  } else {
    source.once('change', () => map.once('rendercomplete', () => (window.drawn = true)));
  }
});

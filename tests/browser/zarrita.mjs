// Reads a window of an array over HTTP with zarrita and prints its values: node zarrita.mjs URL PATH y0 y1 x0 x1
import * as zarr from 'zarrita';

const [url, path, ...ends] = process.argv.slice(2);
const [y0, y1, x0, x1] = ends.map(Number);
const store = new zarr.FetchStore(url);
const array = await zarr.open.v3(zarr.root(store).resolve(path), {kind: 'array'});
const part = await zarr.get(array, [null, zarr.slice(y0, y1), zarr.slice(x0, x1)]);
console.log(JSON.stringify({shape: part.shape, dtype: array.dtype, data: Array.from(part.data, Number)}));

"""Zarr on disk: chunked, sharded, multiscale images that are OME-Zarr 0.5 and GeoZarr at once."""

"""Resampling: pixels of one grid painted on another, without seams. Pure: arrays and grids in, arrays out."""

"""Tests of bigimage and tilesrv; a package so that checks can share their helpers by import."""

"""Where pixels lie: frames, boxes, grids and tilings. Pure: numpy, pyproj and shapely, no reading or writing."""

"""The HTTP server of bigimage: pixels, tiles and jobs. It imports bigimage, never the reverse."""

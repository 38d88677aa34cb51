"""One file per step; `0001` is the beginning."""

"""The frozen data of a run, and the files that hold it."""

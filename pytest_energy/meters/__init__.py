"""The meters, which measure joules; each is found by its name through entry points."""

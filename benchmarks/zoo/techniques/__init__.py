"""One technique a file; see :mod:`benchmarks.zoo.registry` for what a file holds."""

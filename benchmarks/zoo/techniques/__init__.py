"""One file for each technique; :mod:`benchmarks.zoo.registry` gives the form of a file."""

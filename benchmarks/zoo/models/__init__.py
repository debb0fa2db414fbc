"""One file for each family of models; :mod:`benchmarks.zoo.registry` gives the form of a file."""

"""The reference suite: the models, techniques and figures of five papers, as benchmarks."""

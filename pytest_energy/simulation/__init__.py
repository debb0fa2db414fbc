"""A simulated machine with NVIDIA GPUs, whose true energy is therefore known.

The C sources are in ``nvml_sim/``. ``build`` compiles them, ``layout`` mirrors their shared memory,
``profiles`` describes cards, ``machine`` drives a machine that exists, and ``nvml`` creates one.
"""

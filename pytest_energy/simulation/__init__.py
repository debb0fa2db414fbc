"""A machine with NVIDIA GPUs that is only simulated, and whose true energy is therefore known.

The C sources are in ``nvml_sim/``. ``build``
compiles them, ``layout`` mirrors their shared memory, ``profiles`` describes cards, ``machine``
puts them together.
"""

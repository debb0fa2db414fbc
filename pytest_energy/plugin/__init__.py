"""All code that talks to pytest; :mod:`pytest_energy.plugin.entry` holds the hooks."""

pytest_plugins = ["pytest_energy.plugin.entry"]  # so that ``-p pytest_energy.plugin`` loads them

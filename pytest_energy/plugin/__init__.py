"""All code that uses pytest, apart from :mod:`pytest_energy.testing`."""

pytest_plugins = ["pytest_energy.plugin.entry"]  # ``-p pytest_energy.plugin`` works, too

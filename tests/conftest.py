"""What all tests share: the simulated machine, by the way that users take."""

pytest_plugins = ["pytest_energy.testing"]

"""What all tests share: the simulated machine, by the way that users take, and pytest in pytest."""

pytest_plugins = ["pytester", "pytest_energy.testing"]

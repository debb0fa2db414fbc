"""Energy regression testing for deep learning, as a pytest plugin.

Importing this package imports nothing heavy; see :mod:`pytest_energy.model.measurement` for the
data model and :mod:`pytest_energy.fixture` for what a test calls.
"""

from __future__ import annotations

__version__ = "0.1.0"

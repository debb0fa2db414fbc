"""Logs of other instruments.

``formats`` knows the programs that write logs, ``readings`` makes numbers of their tables,
``devices``, ``plausibility`` and ``counters`` find what cannot be, ``energy`` integrates the
readings, and ``results`` makes results.
"""

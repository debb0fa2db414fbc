"""Logs of other instruments: ``reading`` reads, ``energy`` integrates, ``results`` tells."""

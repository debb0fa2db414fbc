"""Logs of other instruments.

``reading`` parses the files, ``energy`` integrates the readings, ``results`` makes results.
"""

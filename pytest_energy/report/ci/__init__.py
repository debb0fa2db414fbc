"""Outputs for CI systems."""

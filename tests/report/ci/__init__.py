"""Tests of the outputs for CI systems."""

"""The history of many runs."""

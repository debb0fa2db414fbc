"""Comparisons of two revisions, from their parts to whole sessions."""

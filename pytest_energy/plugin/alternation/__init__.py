"""Measuring two revisions in alternation: the session and its sides."""

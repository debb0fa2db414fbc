"""Tests of the terminal, failure messages and Markdown."""

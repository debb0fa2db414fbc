"""The terminal, failure messages and Markdown."""

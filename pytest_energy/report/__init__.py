"""The outputs of a run: HTML, Markdown, terminal, failure texts, CI formats."""

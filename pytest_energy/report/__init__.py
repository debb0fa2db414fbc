"""One run, told to people: HTML, Markdown, terminal lines, JUnit properties."""

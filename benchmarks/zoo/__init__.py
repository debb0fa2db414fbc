"""Models and techniques as a registry made of files."""

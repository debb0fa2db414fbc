"""Statistics of rounds and changes: numbers in, numbers out."""

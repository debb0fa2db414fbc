"""Two revisions measured in alternation on one machine: trees, sides, blocks and the verdicts."""

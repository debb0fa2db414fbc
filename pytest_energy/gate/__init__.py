"""Judge what was measured against the baseline."""

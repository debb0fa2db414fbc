"""Many runs over time: an append-only store of their results, and the changes found in it."""

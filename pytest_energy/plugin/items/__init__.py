"""One test: what it requests, how its phases end, and whether it runs again."""

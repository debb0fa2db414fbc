"""The workloads of today, which no paper of the suite has: one call is one measured pass."""

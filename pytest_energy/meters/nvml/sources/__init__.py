"""Where the joules of a GPU come from: its energy counter, its power sensor, or both."""

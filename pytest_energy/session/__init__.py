"""What one session of pytest shares, from opening the meter to the saved run."""

"""Run work inside energy windows, and turn the rounds into a measurement."""

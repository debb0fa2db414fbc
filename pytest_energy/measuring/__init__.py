"""Run the work in windows and turn rounds into a measurement."""

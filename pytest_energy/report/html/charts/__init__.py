"""Charts as values: where each mark lies; the templates draw them as inline SVG.

All coordinates are pixels of the drawing's own ``viewBox``, y downwards.
"""

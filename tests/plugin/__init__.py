"""The plugin, driven as its users drive it."""

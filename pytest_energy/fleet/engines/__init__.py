"""The engines of this package."""

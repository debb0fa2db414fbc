"""A suite on several kinds of accelerator at once: planned here, run by an engine, merged here."""

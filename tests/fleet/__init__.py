"""A suite on several kinds of accelerator."""

"""Which GPUs are measured, what they are, who uses them and what their driver says of them."""

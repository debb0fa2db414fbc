"""The control: fixed benchmarks that the plugin brings, which show whether the machine moved."""

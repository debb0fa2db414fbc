"""Where joules come from: one module a meter, found by name through entry points."""

"""How the gate performs: its false alarms, what it finds and what it costs, by simulation."""

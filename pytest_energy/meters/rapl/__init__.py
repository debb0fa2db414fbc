"""CPU and DRAM energy by Linux's powercap interface (RAPL)."""

"""Measurements: wall time, requests, and what they are compared with. `make bench` runs them."""

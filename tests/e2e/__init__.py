"""End to end: the program as a subprocess, against a sandbox as a subprocess on loopback."""

"""What holds for the modelled backing on a virtual clock and for the real one over HTTP."""

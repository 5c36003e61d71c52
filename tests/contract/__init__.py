"""What goes over the wire, held against the vendors' own descriptions of their APIs."""

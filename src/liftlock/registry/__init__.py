"""Container registries: an OCI Distribution client, and images built from plain directories."""

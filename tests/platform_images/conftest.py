"""The registry's client and a real registry, as the registry's own tests have them."""

from __future__ import annotations

from tests.registry.conftest import _without_backoff, cncf_registry, distribution

__all__ = ["_without_backoff", "cncf_registry", "distribution"]

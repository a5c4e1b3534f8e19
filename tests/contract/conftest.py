"""A registry without a server, see tests/embedded_registry.py; files on servers have fixtures of the same names."""

from tests.embedded_registry import no_server, registry, workspace

__all__ = ["no_server", "registry", "workspace"]

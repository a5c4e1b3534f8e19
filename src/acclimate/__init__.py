"""acclimate adapts a pretrained model to your own data, and can show why it did what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acclimate.version import __version__

if TYPE_CHECKING:
    from acclimate.local_run import plan, run
    from acclimate.wiring import load

__all__ = ["__version__", "load", "plan", "run"]


def __getattr__(name: str) -> Any:
    """Import the public functions on first use, so that ``import acclimate`` stays light."""
    if name == "load":
        from acclimate import wiring

        return wiring.load
    if name in {"plan", "run"}:
        from acclimate import local_run

        return getattr(local_run, name)
    raise AttributeError(f"module 'acclimate' has no attribute {name!r}")

"""The image of every step: a name to be replaced, by ``acclimate submit`` or ``acclimate compile``, with a real one."""

from acclimate.version import __version__

IMAGE = f"acclimate:{__version__}"

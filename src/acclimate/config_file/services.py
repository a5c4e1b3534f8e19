"""What a configuration needs of its surroundings, which a file alone doesn't show."""

from __future__ import annotations

from collections.abc import Mapping

from acclimate.config import Adaptation
from acclimate.config_file.addresses import scheme_of
from acclimate.errors import ConfigError


def check_services(config: Adaptation, environment: Mapping[str, str], *, where: str = "workspace") -> None:
    """Refuse a shared workspace without a registry that its machines share.

    Args:
        config: the configuration.
        environment: os.environ.
        where: place of the workspace, for the error.

    Raises:
        ConfigError: E-CONFIG-038; the embedded registry is a database file, which can't live on S3.
    """
    if scheme_of(config.workspace) is None:
        return
    uri = config.tracking.uri or environment.get("MLFLOW_TRACKING_URI") or ""
    if scheme_of(uri) not in {"http", "https"}:
        found = "a database of one machine" if uri else "none"
        raise ConfigError(
            "E-CONFIG-038",
            f"a workspace on S3 needs an MLflow server, but there is {found}",
            where=where,
            hint="set tracking.uri or MLFLOW_TRACKING_URI to http://HOST:PORT, or give a local workspace",
        )

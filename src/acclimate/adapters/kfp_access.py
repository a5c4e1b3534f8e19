"""Where Kubeflow Pipelines is and how it is entered: from outside or from a pod, with a token, cookies or nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from acclimate.config_file.addresses import is_metadata_address
from acclimate.errors import AccessError, ConfigError

POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
IN_THE_CLUSTER = "http://ml-pipeline.kubeflow.svc:8888"


@dataclass(frozen=True)
class KfpAccess:
    """An address of Kubeflow Pipelines and what opens it; secrets never show in its text.

    Args:
        endpoint: ``http(s)://HOST[:PORT][/PREFIX]``, no credentials in it.
        namespace: the user's, sent where Kubeflow serves several users; None is none. It says nothing of where the
            service itself lives.
        token_file: holds a token that is renewed in place.
        ca_file: certificate authorities to trust instead of the system's.
    """

    endpoint: str
    namespace: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None

    @classmethod
    def find(cls, endpoint: str | None = None, namespace: str | None = None) -> KfpAccess:
        """Read what the arguments leave open from the environment.

        It knows ``KFP_ENDPOINT``, ``KFP_NAMESPACE``, ``KFP_TOKEN``, ``KFP_TOKEN_FILE``, ``KFP_COOKIES`` and
        ``KFP_CA_FILE``. In a pod without an endpoint it is the service ``ml-pipeline`` in ``kubeflow``, which serves
        every namespace; one that lives elsewhere needs the endpoint.

        Raises:
            ConfigError: E-KFP-012, no endpoint, or not one.
        """
        namespace = namespace or os.environ.get("KFP_NAMESPACE") or None
        address = endpoint or os.environ.get("KFP_ENDPOINT") or ""
        if not address and os.environ.get("KUBERNETES_SERVICE_HOST"):
            address = IN_THE_CLUSTER
        token_file = os.environ.get("KFP_TOKEN_FILE")
        ca_file = os.environ.get("KFP_CA_FILE")
        return cls(
            _checked(address),
            namespace,
            Path(token_file) if token_file else POD_TOKEN if POD_TOKEN.is_file() else None,
            Path(ca_file) if ca_file else None,
        )

    def headers(self) -> dict[str, str]:
        """What authenticates a request, read anew each time: a token file is renewed in place.

        Raises:
            AccessError: E-KFP-014, the token file can't be read.
        """
        token, cookies = os.environ.get("KFP_TOKEN", "").strip(), os.environ.get("KFP_COOKIES", "").strip()
        if not token and not cookies and self.token_file is not None:
            token = self._file_token(self.token_file)
        return {
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **({"Cookie": cookies} if cookies else {}),
        }

    def _file_token(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AccessError(
                "E-KFP-014",
                f"the token file can't be read: {type(error).__name__}",
                where=str(path),
                hint="mount the service account's token there, or set KFP_TOKEN_FILE or KFP_TOKEN",
            ) from error


def _checked(endpoint: str) -> str:
    hint = "give --endpoint http(s)://HOST:PORT or set KFP_ENDPOINT; with kubectl: port-forward svc/ml-pipeline 8888"
    if not endpoint:
        raise ConfigError("E-KFP-012", "no endpoint of Kubeflow Pipelines is given", hint=hint)
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or any(c.isspace() for c in endpoint):
        raise ConfigError("E-KFP-012", "the endpoint of Kubeflow Pipelines is not an http(s) address", hint=hint)
    if "@" in parts.netloc:
        raise ConfigError(
            "E-KFP-012",
            "the endpoint of Kubeflow Pipelines holds credentials",
            hint="take them out of the address; set KFP_TOKEN, KFP_TOKEN_FILE or KFP_COOKIES",
        )
    if is_metadata_address(endpoint):
        raise ConfigError("E-KFP-012", "the endpoint is a metadata address; these are never asked", hint=hint)
    return endpoint.rstrip("/")

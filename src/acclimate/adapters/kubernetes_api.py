"""JSON over HTTP to the Kubernetes API from inside a pod.

Plain urllib3: the official client takes a second to import, brings a thousand models of which one custom object needs
none, and its errors hold whole responses.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import stamina
import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from acclimate.errors import AccessError, AcclimateError, UnavailableError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_LARGEST_ANSWER = 32_000_000
_PASSING = (408, 429, 500, 502, 503, 504)

Answer = dict[str, Any]


@dataclass(frozen=True)
class KubernetesAccess:
    """Where the API is and what opens it.

    Args:
        server: ``https://HOST:PORT``.
        namespace: of everything that is asked for.
        token_file: holds the service account's token, which is renewed in place; None sends none.
        ca_file: certificate authority of the API server; None is the system's.
    """

    server: str
    namespace: str
    token_file: Path | None = None
    ca_file: Path | None = None

    @classmethod
    def of_this_pod(cls, account: Path = ACCOUNT) -> KubernetesAccess:
        """What Kubernetes gives each pod whose service account may ask the API.

        Raises:
            AccessError: E-RAY-001, this is no pod, or it has no token.
        """
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        try:
            namespace = (account / "namespace").read_text(encoding="utf-8").strip()
            readable = os.access(account / "token", os.R_OK)
        except OSError:
            namespace, readable = "", False
        if not host or not namespace or not readable:
            raise AccessError(
                "E-RAY-001",
                "this process can't ask the Kubernetes API: it is in no pod, or its service account gives no token",
                where=str(account),
                hint="run the step as a service account whose token is mounted, as KFP's own is, or set RAY_ADDRESS",
            )
        address = f"[{host}]" if ":" in host else host
        return cls(f"https://{address}:{port}", namespace, account / "token", account / "ca.crt")


class RefusedError(Exception):
    """An answer of the API that is not success; callers make a coded error of it.

    Args:
        status: HTTP status.
        reason: Kubernetes' word, e.g. ``NotFound``; empty where the answer was none of the API's own.
        message: what the API says, shortened.
        where: what was asked.
        about: kind of the thing it is about, e.g. ``rayjobs``.
    """

    def __init__(self, status: int, reason: str, message: str, where: str, about: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.where = where
        self.about = about


class KubernetesApi:
    """Gets, creates and deletes objects of one namespace.

    Args:
        access: address and credentials.
        budget_seconds: how long one call may be repeated while the API is unreachable or overloaded.
        timeout_seconds: how long one answer may take.
    """

    def __init__(self, access: KubernetesAccess, *, budget_seconds: float = 30.0, timeout_seconds: float = 15.0):
        self.namespace = access.namespace
        self.budget_seconds = budget_seconds
        self._access = access
        trusted = str(access.ca_file) if access.ca_file else None
        timeout = urllib3.Timeout(connect=min(5.0, timeout_seconds), read=timeout_seconds)
        self._pool = urllib3.PoolManager(retries=False, timeout=timeout, cert_reqs="CERT_REQUIRED", ca_certs=trusted)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def get(self, path: str, **query: str) -> Answer:
        """GET an object, or a list of them.

        Args:
            path: below ``/``, the namespace in it.
            query: e.g. ``labelSelector``.

        Raises:
            RefusedError: the API says no.
            UnavailableError: E-RAY-007, it gave no answer within the budget.
            AccessError: E-RAY-004 not signed in, E-RAY-015 its certificate is not trusted.
        """
        return self._repeated("GET", f"{path}?{urlencode(query)}" if query else path, None)

    def create(self, path: str, body: Answer) -> Answer:
        """POST an object; a lost answer may mean that it was made, so a repetition may be refused with 409."""
        return self._repeated("POST", path, body)

    def delete(self, path: str, body: Answer) -> None:
        """DELETE an object; one that is gone is no error."""
        try:
            self._repeated("DELETE", path, body)
        except RefusedError as error:
            if error.status != 404:
                raise

    def _repeated(self, method: str, path: str, body: Answer | None) -> Answer:
        ends = time.monotonic() + self.budget_seconds
        for trial in stamina.retry_context(
            on=UnavailableError, attempts=None, timeout=self.budget_seconds, wait_initial=0.1, wait_jitter=0.2
        ):
            with trial:
                if trial.num > 1 and time.monotonic() > ends:
                    raise _unreachable("the budget is used up", f"{method} {path}")
                return self._send(method, path, body)
        raise AssertionError  # stamina raises the last error itself

    def _send(self, method: str, path: str, body: Answer | None) -> Answer:
        where = f"{method} {path.split('?', maxsplit=1)[0]}"
        headers = {"Accept": "application/json", "User-Agent": "acclimate"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            if self._access.token_file is not None:
                # renewed in place by Kubernetes, so it is read each time
                headers["Authorization"] = f"Bearer {self._access.token_file.read_text(encoding='utf-8').strip()}"
            response = self._pool.request(
                method,
                f"{self._access.server}{path}",
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                redirect=False,
                preload_content=False,
            )
            with closing(response):
                data = response.read(_LARGEST_ANSWER)
        except (HTTPError, OSError) as error:
            raise _lost(error, where) from error
        return _understood(response.status, data, where)


def _understood(status: int, data: bytes, where: str) -> Answer:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    answer: Answer = found if isinstance(found, dict) else {}
    if 200 <= status < 300:
        if found is None:
            raise _unreachable("the answer is not JSON", where)
        return answer
    message = str(answer.get("message") or data[:200].decode(errors="replace")).strip()[:500]
    if status in _PASSING:
        raise _unreachable(f"it answers {status}: {message}", where)
    if status == 401:
        raise AccessError(
            "E-RAY-004",
            "the Kubernetes API does not accept this pod's token",
            where=where,
            hint="check the service account of the step: its token may have expired, or be of another cluster",
        )
    about = str((answer.get("details") or {}).get("kind", ""))
    raise RefusedError(status, str(answer.get("reason", "")), message, where, about)


def _lost(error: Exception, where: str) -> AcclimateError:
    cause = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(cause, SSLError):
        return AccessError(
            "E-RAY-015",
            "the certificate of the Kubernetes API is not trusted",
            where=where,
            hint="the pod's ca.crt must be the cluster's own",
        )
    return _unreachable(type(cause).__name__, where)


def _unreachable(why: str, where: str) -> UnavailableError:
    return UnavailableError(
        "E-RAY-007", f"the Kubernetes API can't be reached: {why}", where=where, hint="try again; the training goes on"
    )

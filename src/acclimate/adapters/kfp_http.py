"""JSON over HTTP to Kubeflow Pipelines.

Plain urllib3 and not ``kfp.Client``, which takes .5 s to import, prints, and repeats nothing safely; what is sent is
checked in the tests against kfp-server-api's own models.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import stamina
import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from acclimate.adapters.kfp_access import KfpAccess
from acclimate.adapters.kfp_errors import is_page, login_page, malformed, refusal, unreachable, untrusted
from acclimate.errors import AccessError, AcclimateError, UnavailableError

API = "/apis/v2beta1"
_LARGEST_ANSWER = 64_000_000

Answer = dict[str, Any]
Found = TypeVar("Found")


class KfpHttp:
    """Sends requests and gives what came back as a dict.

    Args:
        access: address and credentials.
        budget_seconds: how long one call may be repeated while the service is unreachable or overloaded.
        timeout_seconds: how long one answer may take.
    """

    def __init__(self, access: KfpAccess, *, budget_seconds: float = 30.0, timeout_seconds: float = 30.0) -> None:
        self.access = access
        self.budget_seconds = budget_seconds
        trusted = str(access.ca_file) if access.ca_file else None
        timeout = urllib3.Timeout(connect=min(5.0, timeout_seconds), read=timeout_seconds)
        self._pool = urllib3.PoolManager(retries=False, timeout=timeout, cert_reqs="CERT_REQUIRED", ca_certs=trusted)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def get(self, path: str, **query: str | int | None) -> Answer:
        """GET, repeated within the budget.

        Args:
            path: below the API's root, its parts already quoted by :func:`part`.
            query: parameters; None leaves one out.
        """
        return self._repeated(lambda _: self._send("GET", path, query))

    def act(self, method: str, path: str) -> None:
        """POST or DELETE without a body, repeated within the budget: doing it twice does the same."""
        self._repeated(lambda _: self._send(method, path, {}))

    def create(
        self,
        path: str,
        body: Answer | None,
        find: Callable[[], Answer | None],
        *,
        file: bytes | None = None,
        **query: str | None,
    ) -> tuple[Answer, bool]:
        """POST something that must come into being once.

        A lost reply may mean that it was made. So before each repetition ``find`` looks for it by its name.

        Args:
            path: below the API's root.
            body: JSON to send; None with ``file``.
            find: finds what a former attempt made, or None.
            file: a YAML file to upload instead.
            query: parameters; None leaves one out.

        Returns:
            What was made or found, and whether there was any doubt on the way.
        """

        def attempt(number: int) -> tuple[Answer, bool]:
            found = find() if number > 1 else None
            if found is not None:
                return found, True
            return self._send("POST", path, query, body=body, file=file), number > 1

        return self._repeated(attempt)

    def _repeated(self, attempt: Callable[[int], Found]) -> Found:
        for trial in stamina.retry_context(
            on=UnavailableError, attempts=None, timeout=self.budget_seconds, wait_initial=0.1, wait_jitter=0.2
        ):
            with trial:
                return attempt(trial.num)
        raise AssertionError  # stamina raises the last error itself

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, Any],
        *,
        body: Answer | None = None,
        file: bytes | None = None,
    ) -> Answer:
        """One request; a refused token file is read once more, since it may just have been renewed."""
        used = self.access.headers()
        try:
            return self._send_once(method, path, query, used, body, file)
        except AccessError as error:
            renewed = self.access.headers()
            if error.code != "E-KFP-003" or renewed == used:
                raise
            return self._send_once(method, path, query, renewed, body, file)

    def _send_once(
        self,
        method: str,
        path: str,
        query: dict[str, Any],
        headers: dict[str, str],
        body: Answer | None,
        file: bytes | None,
    ) -> Answer:
        sent = {name: str(value) for name, value in query.items() if value is not None}
        url = f"{self.access.endpoint}{API}/{path}"
        where = f"{method} {url}"
        content: dict[str, Any] = {}
        if file is not None:
            content["fields"] = {"uploadfile": ("pipeline.yaml", file, "application/x-yaml")}
        elif body is not None:
            content["body"] = json.dumps(body).encode()
            headers = {**headers, "Content-Type": "application/json"}
        try:
            response = self._pool.request(
                method,
                f"{url}?{urlencode(sent)}" if sent else url,
                headers={"Accept": "application/json", **headers},
                redirect=False,
                preload_content=False,
                **content,
            )
            with closing(response):
                data = response.read(_LARGEST_ANSWER)
        except (HTTPError, OSError) as error:
            raise _lost(error, where) from error
        return _understood(response, data, where)


def part(text: str) -> str:
    """A name or id as one part of a path."""
    return quote(text, safe="")


def _lost(error: Exception, where: str) -> AcclimateError:
    cause = error.reason if isinstance(error, MaxRetryError) else error
    return untrusted(error, where) if isinstance(cause, SSLError) else unreachable(error, where)


def _understood(response: urllib3.BaseHTTPResponse, data: bytes, where: str) -> Answer:
    if not 200 <= response.status < 300:
        raise refusal(response.status, response.headers, data, where)
    if is_page(response.headers, data):
        raise login_page(where)
    if not data.strip():
        return {}
    try:
        found = json.loads(data)
    except ValueError as error:
        raise malformed(where) from error
    if not isinstance(found, dict):
        raise malformed(where)
    return found

"""Asks the MLflow server as a pipeline step would: it must answer to the account and refuse without it."""

import base64
import os
import sys
import urllib.error
import urllib.request

address = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/experiments/search?max_results=1"
account = f"{os.environ['MLFLOW_TRACKING_USERNAME']}:{os.environ['MLFLOW_TRACKING_PASSWORD']}"
known = {"Authorization": "Basic " + base64.b64encode(account.encode()).decode()}


def status(headers: dict[str, str]) -> int:
    """The HTTP status of the answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20) as answer:  # noqa: S310
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


found = (status(known), status({}))
print(f"with the account: {found[0]}, without: {found[1]}")  # noqa: T201
sys.exit(found != (200, 401))

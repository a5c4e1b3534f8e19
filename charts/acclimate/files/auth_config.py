"""Writes the account settings of MLflow's server; ini files give % a meaning, addresses of databases may hold one."""

import os
from pathlib import Path

Path("/auth/basic_auth.ini").write_text(
    "[mlflow]\n"
    f"default_permission = {os.environ['DEFAULT_PERMISSION']}\n"
    f"database_uri = {os.environ['AUTH_STORE_URI'].replace('%', '%%')}\n"
    # without it every request hashes the password anew, and registering a model makes many
    "auth_cache_ttl_seconds = 60\n"
    "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
    encoding="utf-8",
)

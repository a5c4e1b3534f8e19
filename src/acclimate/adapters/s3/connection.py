"""The client: the standard chain of credentials, one endpoint, none of botocore's own retries."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from acclimate.config_file.addresses import is_metadata_address
from acclimate.errors import AccessError, ConfigError

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
AMAZON = (".amazonaws.com", ".amazonaws.com.cn")
CONNECT_SECONDS = 5.0
POOL = 16


def connect(*, stall_seconds: float) -> Any:
    """A boto3 client of the endpoint in AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else of AWS.

    Args:
        stall_seconds: how long nothing may arrive.

    Raises:
        ConfigError: E-S3-012, the endpoint is no server's address or one that is never fetched.
        AccessError: E-S3-008, the environment's AWS profile doesn't exist.
    """
    import boto3
    from botocore.exceptions import ProfileNotFound

    try:
        session = boto3.session.Session()
        region = os.environ.get("AWS_REGION") or session.region_name or "us-east-1"
        style = "path" if any(os.environ.get(name) for name in ENDPOINTS) else "auto"
        client = _client(session, region, style, stall_seconds)
        endpoint = str(client.meta.endpoint_url)
        _check(endpoint)
        if style == "auto" and not (urlsplit(endpoint).hostname or "").endswith(AMAZON):
            # an endpoint of the AWS configuration file; other servers seldom have a DNS name for each bucket
            client.close()
            client = _client(session, region, "path", stall_seconds)
    except ProfileNotFound as error:
        hint = "set AWS_PROFILE to a profile that exists, or unset it"
        raise AccessError("E-S3-008", str(error), where="AWS_PROFILE", hint=hint) from error
    except ValueError as error:
        raise _no_endpoint() from error
    return client


def _client(session: Any, region: str, style: str, stall_seconds: float) -> Any:
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=min(CONNECT_SECONDS, stall_seconds),
        read_timeout=stall_seconds,
        max_pool_connections=POOL,
        # every body is sent with its MD5 and read against our own sha256; not every server knows AWS's trailers
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": style},
    )
    return session.client("s3", region_name=region, config=config)


def _check(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _no_endpoint()
    if is_metadata_address(endpoint):
        raise ConfigError(
            "E-S3-012",
            "the S3 endpoint is a metadata address; these are never fetched",
            where=parts.hostname,
            hint="set AWS_ENDPOINT_URL to your S3 server",
        )


def _no_endpoint() -> ConfigError:
    # the value is not shown: it may hold a password
    return ConfigError(
        "E-S3-012",
        "the S3 endpoint is not a server's address",
        where=" or ".join(ENDPOINTS),
        hint="write http://HOST:PORT or https://HOST, or unset it for AWS",
    )

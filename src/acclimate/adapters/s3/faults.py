"""What can go wrong with S3, each in our words. UnavailableError passes and is tried again; nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

from acclimate.adapters.s3.address import S3Uri
from acclimate.errors import AccessError, AcclimateError, DataError, IntegrityError, UnavailableError

PASSING = {
    "ConditionalRequestConflict",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "TokenRefreshRequired"}
CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"}
CORRUPTED = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
_ASK = "acclimate doctor checks what the S3 server can do"
_LATER = "run again when the S3 server answers: finished stages are kept; acclimate doctor checks it"


def unavailable(uri: S3Uri, message: str) -> UnavailableError:
    """E-S3-004: the server is there or not, but doesn't do its work now."""
    return UnavailableError("E-S3-004", f"the S3 server {message}", where=str(uri), hint=_LATER)


def missing(uri: S3Uri) -> DataError:
    """E-S3-002."""
    return DataError("E-S3-002", "no such object", where=str(uri), hint="check the address")


def no_bucket(uri: S3Uri) -> DataError:
    """E-S3-001."""
    return DataError(
        "E-S3-001",
        f"there is no bucket {uri.bucket!r}",
        where=str(uri),
        hint="create it, or check the name, AWS_ENDPOINT_URL and AWS_REGION",
    )


def changed(uri: S3Uri) -> DataError:
    """E-S3-005."""
    return DataError(
        "E-S3-005",
        "the object was changed while it was read",
        where=str(uri),
        hint="run again when nobody writes to it",
    )


def too_large(uri: S3Uri, size: int, most: int) -> DataError:
    """E-S3-015."""
    hint = "this is not the object that was meant: check the address"
    return DataError("E-S3-015", f"{size} bytes, more than the {most} expected", where=str(uri), hint=hint)


def differs(uri: S3Uri, expected: str, found: str) -> IntegrityError:
    """E-S3-006."""
    return IntegrityError(
        "E-S3-006",
        f"the object's bytes are not those that were stored: expected {expected}, found {found}",
        where=str(uri),
        hint="restore the object from a backup or delete it",
    )


def not_s3(uri: S3Uri, message: str) -> AccessError:
    """E-S3-011: something answers, but it isn't an S3 server."""
    return AccessError(
        "E-S3-011",
        f"what answers is not an S3 server: {message}",
        where=str(uri),
        hint="check AWS_ENDPOINT_URL: it may be the address of a web console, a login page or a proxy",
    )


def cut_short(uri: S3Uri, found: int, expected: int) -> UnavailableError:
    """E-S3-009."""
    return UnavailableError(
        "E-S3-009", f"the answer broke off after {found} of {expected} bytes", where=str(uri), hint=_LATER
    )


def stalled(uri: S3Uri, seconds: float) -> UnavailableError:
    """E-S3-010."""
    return UnavailableError(
        "E-S3-010", f"the S3 server sent next to nothing for {seconds:g} s", where=str(uri), hint=_LATER
    )


@contextmanager
def translated(uri: S3Uri) -> Iterator[None]:
    """Turn every failure of boto3, botocore and urllib3 into a coded error about ``uri``."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        raise _refusal(error.response, uri) from error
    except ResponseParserError as error:
        raise not_s3(uri, "its answer is not XML of S3") from error
    except (BotoCoreError, HTTPError, HTTPException, ConnectionError, TimeoutError) as error:
        raise _failure(error, uri) from error


def _refusal(response: Any, uri: S3Uri) -> AcclimateError:
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(response.get("Error", {}).get("Code", "")) or str(status)
    if code in PASSING or status in {408, 429} or (status >= 500 and status not in {501, 505}):
        # botocore makes a 500 of a web page with 200: a console or login page, or a gateway in trouble
        page = status == 500 and _kind(response).startswith("text/html")
        says = (
            "answers with a web page: if it goes on, check AWS_ENDPOINT_URL" if page else f"answers {code} ({status})"
        )
        return unavailable(uri, says)
    if code in CORRUPTED:
        return unavailable(uri, f"got other bytes than were sent ({code})")
    if code in {"NoSuchBucket", "InvalidBucketName"}:
        return no_bucket(uri)
    if status == 404:
        return missing(uri)
    if status == 412:
        return changed(uri)
    return _denial(code, status, uri)


def _kind(response: Any) -> str:
    return str(response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("content-type", ""))


def _denial(code: str, status: int, uri: S3Uri) -> AcclimateError:
    # the answer to HEAD has no body, hence no code: 400 is what AWS gives for a token that ran out
    if code in EXPIRED or code == "400":
        hint = "get new credentials: log in again, or renew AWS_SESSION_TOKEN"
        return AccessError("E-S3-007", f"the credentials have run out ({code})", where=str(uri), hint=hint)
    if code == "RequestTimeTooSkewed":
        hint = "set this machine's clock: S3 refuses signatures that are more than 15 minutes off"
        return AccessError("E-S3-003", "this machine's clock is wrong", where=str(uri), hint=hint)
    if code in CREDENTIALS:
        hint = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION"
        return AccessError("E-S3-003", f"the credentials are refused ({code})", where=str(uri), hint=hint)
    if status in {401, 403}:
        hint = "allow s3:GetObject, s3:PutObject, s3:DeleteObject on the prefix and s3:ListBucket on the bucket"
        return AccessError("E-S3-003", f"access is denied ({code})", where=str(uri), hint=hint)
    if status in {301, 302, 307, 308}:
        hint = f"set AWS_REGION to the region of the bucket {uri.bucket!r}"
        return AccessError("E-S3-014", f"the bucket is in another region ({code})", where=str(uri), hint=hint)
    hint = "acclimate needs GET, PUT with If-Match and If-None-Match, LIST v2, DELETE and multipart uploads"
    return AccessError("E-S3-014", f"the S3 server refuses the request: {code} ({status})", where=str(uri), hint=hint)


def _failure(error: Exception, uri: S3Uri) -> AcclimateError:
    from botocore import exceptions as botocore
    from urllib3 import exceptions as urllib3

    without = (
        botocore.NoCredentialsError,
        botocore.PartialCredentialsError,
        botocore.CredentialRetrievalError,
        botocore.TokenRetrievalError,
        botocore.NoAuthTokenError,
        botocore.SSOError,
        botocore.LoginError,
    )
    if isinstance(error, without):
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile in AWS_PROFILE, or a role of the machine"
        return AccessError("E-S3-008", "there are no usable S3 credentials", where=str(uri), hint=hint)
    if isinstance(error, botocore.SSLError) and "CERTIFICATE" in str(error).upper():
        hint = "set AWS_CA_BUNDLE to the file with your authority's certificate"
        return AccessError("E-S3-013", "the S3 server's certificate is not trusted", where=str(uri), hint=hint)
    if isinstance(error, botocore.ParamValidationError):
        return no_bucket(uri)
    cause = error.kwargs.get("error") if isinstance(error, botocore.BotoCoreError) else error
    if isinstance(cause, urllib3.NameResolutionError) or "NameResolution" in repr(cause):
        return unavailable(uri, "can't be found: its name has no address; check AWS_ENDPOINT_URL")
    passing = (
        botocore.ConnectionError,
        botocore.HTTPClientError,
        botocore.IncompleteReadError,
        urllib3.HTTPError,
        HTTPException,
        ConnectionError,
        TimeoutError,
    )
    if isinstance(error, passing):
        return unavailable(uri, f"can't be reached ({type(cause or error).__name__})")
    return AccessError("E-S3-014", f"the request can't be made: {type(error).__name__}", where=str(uri), hint=_ASK)

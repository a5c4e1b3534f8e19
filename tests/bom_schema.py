"""CycloneDX's own JSON schema, with formats that jsonschema checks by packages that slow every import of kfp."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import urlsplit

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema.validators import Draft7Validator

# RFC 3987: no blanks, controls, or <>"{}|\\^`; a percent sign begins two hexadecimal digits
_IRI_REFERENCE = re.compile(r"""(?:[^\x00-\x20\x7f-\x9f<>"{}|\\^`%]|%[0-9A-Fa-f]{2})*""")


@Draft7Validator.FORMAT_CHECKER.checks("iri-reference", raises=ValueError)
def _is_iri_reference(value: object) -> bool:
    if isinstance(value, str):
        urlsplit(value)
    return not isinstance(value, str) or _IRI_REFERENCE.fullmatch(value) is not None


@Draft7Validator.FORMAT_CHECKER.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


BOM = JsonStrictValidator(SchemaVersion.V1_6)

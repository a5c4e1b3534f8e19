"""Objects on S3: addresses, and a transport that retries what passes and names what does not."""

from acclimate.adapters.s3.address import ObjectInfo, S3Uri
from acclimate.adapters.s3.transport import S3

__all__ = ["S3", "ObjectInfo", "S3Uri"]

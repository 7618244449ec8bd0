"""The S3 of the local cluster: moto's server in a process of its own, behind a door that counts."""

from __future__ import annotations

import aiohttp
import msgspec

from cachecore.errors import SourceUnavailable
from cachesim.localcluster.s3_door import COUNTERS_PATH


class S3Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What S3 has served since it started. `get_requests` counts GETs of objects (no listings, no HEADs)."""

    get_requests: int = 0
    list_requests: int = 0
    head_requests: int = 0
    put_requests: int = 0
    bytes_served: int = 0


class LocalS3(msgspec.Struct, frozen=True, kw_only=True):
    """Where S3 is and how to sign for it."""

    endpoint_url: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    @property
    def environment(self) -> dict[str, str]:
        """The credentials as the environment variables that every S3 client reads."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }

    @property
    def counters_url(self) -> str:
        return self.endpoint_url + COUNTERS_PATH

    async def counters(self) -> S3Counters:
        """The counters now. Asking is not counted."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.counters_url) as response:
                response.raise_for_status()
                return msgspec.json.decode(await response.read(), type=S3Counters)
        except (aiohttp.ClientError, OSError) as error:
            raise SourceUnavailable(f"S3 at {self.endpoint_url} does not answer: {error}") from error

"""An S3 service that checks signatures: moto in a process of its own, with a user, a key and a bucket.

Covers: SigV4, NoSuchKey, NoSuchBucket, ETag, conditions, ranges, as moto has them. Does not cover: objects over some 50 MB (moto is
slow there). moto is no part of the test's own process: it brings threads, warnings and its own idea of the environment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.doubles.program import serve
from tests.support import ROOT, python_environment

REGION = "us-east-1"
BUCKET = "models"
_SET_UP_CALLS = 4
_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass(frozen=True)
class S3Service:
    """Where it is, and who may use it."""

    endpoint: str
    bucket: str
    access_key_id: str
    secret_access_key: str
    region: str = REGION

    @property
    def environment(self) -> dict[str, str]:
        """The usual variables that lead a client here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
        }

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.endpoint.removeprefix("http://").rpartition(":")
        return host, int(port)

    def describe(self) -> dict[str, Any]:
        """See `tests.doubles.program.Double`."""
        return {**asdict(self), "env": self.environment}

    async def put(self, key: str, content: bytes) -> None:
        """Write an object, with boto3 and not with the client under test."""
        await asyncio.to_thread(self._client().put_object, Bucket=self.bucket, Key=key, Body=content)

    async def delete(self, key: str) -> None:
        """Remove an object."""
        await asyncio.to_thread(self._client().delete_object, Bucket=self.bucket, Key=key)

    def _client(self) -> Any:
        import boto3

        keys = {"aws_access_key_id": self.access_key_id, "aws_secret_access_key": self.secret_access_key}
        return boto3.client("s3", endpoint_url=self.endpoint, region_name=self.region, **keys)


@asynccontextmanager
async def s3_service() -> AsyncIterator[S3Service]:
    """The service in a process of its own, which ends with this one."""
    arguments = [sys.executable, "-W", "ignore", "-m", "tests.doubles.s3_server"]
    process = await asyncio.create_subprocess_exec(
        *arguments, cwd=ROOT, env=python_environment(), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        async with asyncio.timeout(120):
            told = json.loads(await process.stdout.readline())
        told.pop("env")
        yield S3Service(**told)
    finally:
        process.stdin.close()
        await process.stdout.read()
        await process.wait()


@asynccontextmanager
async def _here(port: int, files: Mapping[str, Path]) -> AsyncIterator[S3Service]:
    """moto in this process. The first calls are free, then every request needs a good signature."""
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = str(_SET_UP_CALLS)  # read when moto is imported
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        anybody = {"endpoint_url": endpoint, "region_name": REGION, "aws_access_key_id": "set-up", "aws_secret_access_key": "set-up"}
        iam = boto3.client("iam", **anybody)
        iam.create_user(UserName="reader")
        key = iam.create_access_key(UserName="reader")["AccessKey"]
        iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=json.dumps(_POLICY))
        boto3.client("s3", **anybody).create_bucket(Bucket=BUCKET)
        service = S3Service(endpoint, BUCKET, key["AccessKeyId"], key["SecretAccessKey"])
        for name, path in files.items():
            await service.put(name, path.read_bytes())
        yield service
    finally:
        server.stop()


def main() -> None:
    """Serve, with the set-up done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--file", action="append", default=[], metavar="KEY=PATH")
    options = parser.parse_args()
    files = {key: Path(path) for key, _, path in (text.partition("=") for text in options.file)}
    asyncio.run(serve(_here(options.port, files)))


if __name__ == "__main__":
    main()

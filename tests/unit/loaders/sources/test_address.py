"""`loaders.sources.address` and the scheme table: what an address names, what is wrong with one, what may be shown of it."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from config.schema import ModelSettings, Settings
from loaders.sources import SOURCES, InvalidAddress, check_source, limits_of, open_source, redact
from loaders.sources.address import SCHEMES, bucket_and_key, drive_id, file_path, scheme_of
from loaders.sources.base import Source

ID = "1A2b3C4d5E6f7G8h9I0jKlMnOpQrStUv"


@pytest.mark.parametrize(
    "uri, scheme",
    [
        ("/srv/als.pkl", "file"),
        ("models/als.pkl", "file"),
        ("als:v2.pkl", "file"),
        ("~/als.pkl", "file"),
        ("file:///srv/als.pkl", "file"),
        ("http://host/als.pkl", "http"),
        ("HTTPS://host/als.pkl", "https"),
        ("s3://bucket/als.pkl", "s3"),
        (f"gdrive://{ID}", "gdrive"),
        (f"https://drive.google.com/file/d/{ID}/view?usp=sharing", "gdrive"),
        (f"https://drive.usercontent.google.com/download?id={ID}", "gdrive"),
        ("training:als", "training"),
        ("ftp://host/als.pkl", "ftp"),
    ],
)
def test_scheme(uri: str, scheme: str) -> None:
    assert scheme_of(uri) == scheme


@pytest.mark.parametrize(
    "uri",
    [
        f"gdrive://{ID}",
        f"https://drive.google.com/file/d/{ID}/view?usp=sharing",
        f"https://drive.google.com/file/u/1/d/{ID}/edit",
        f"https://drive.google.com/open?id={ID}",
        f"https://drive.google.com/uc?export=download&id={ID}",
        f"https://docs.google.com/uc?id={ID}",
        f"https://drive.usercontent.google.com/download?id={ID}&export=download&confirm=t",
    ],
)
def test_drive_id(uri: str) -> None:
    assert drive_id(uri) == ID
    assert open_source(ModelSettings(name="als", source=uri), Settings()).uri == f"gdrive://{ID}"


@pytest.mark.parametrize(
    "uri, words",
    [
        ("", "empty"),
        ("  ", "empty"),
        ("ftp://host/als.pkl", "ftp.*s3://"),
        ("training:Als", "training:NAME"),
        ("s3://bucket", "s3://BUCKET/KEY"),
        ("s3://bucket/", "s3://BUCKET/KEY"),
        ("s3:///key", "s3://BUCKET/KEY"),
        ("gdrive://", "FILE_ID"),
        ("https://drive.google.com/drive/folders/abc", "folder"),
        ("https://drive.google.com/drive/my-drive", "no file id"),
        ("http://", "no host"),
        ("http://host:port/als.pkl", "[Pp]ort"),
        ("http://[::1/als.pkl", "IPv6"),
        ("file://models/als.pkl", "three slashes"),
        ("file:als.pkl", "absolute"),
    ],
)
def test_what_is_wrong(uri: str, words: str) -> None:
    problem = check_source(uri)
    assert problem is not None
    with pytest.raises(InvalidAddress, match=f"(?s)'als'.*{words}"):
        open_source(ModelSettings(name="als", source=uri), Settings())


@pytest.mark.parametrize(
    "uri", ["als.pkl", "file:///srv/als.pkl", "s3://b/k", f"gdrive://{ID}", "https://host", "http://[::1]:80/x", "training:als"]
)
def test_nothing_wrong(uri: str) -> None:
    assert check_source(uri) is None


@pytest.mark.parametrize(
    "uri, shown",
    [
        ("/srv/als?x=1.pkl", "/srv/als?x=1.pkl"),
        ("s3://bucket/a b/als.pkl", "s3://bucket/a b/als.pkl"),
        ("https://me:hush@host:8443/als.pkl", "https://host:8443/als.pkl"),
        ("https://host/als.pkl?X-Amz-Signature=hush&versionId=7", "https://host/als.pkl?X-Amz-Signature=***&versionId=7"),
        ("https://host/als.pkl?hush", "https://host/als.pkl?hush=***"),
        ("https://host/als.pkl#token=hush", "https://host/als.pkl"),
        ("http://[::1/als.pkl?token=hush", "http://***"),
    ],
)
def test_redact(uri: str, shown: str) -> None:
    assert redact(uri) == shown


def test_file_path() -> None:
    assert file_path("file:///srv/a%20b.pkl") == Path("/srv/a b.pkl")
    assert file_path("a%20b.pkl") == Path("a%20b.pkl")
    assert file_path("~/als.pkl") == Path.home() / "als.pkl"


def test_bucket_and_key() -> None:
    assert bucket_and_key("s3://b/x/y z?.pkl") == ("b", "x/y z?.pkl", None)
    assert bucket_and_key("s3://b/als.pkl?versionId=abc") == ("b", "als.pkl", "abc")


def test_the_table_is_whole() -> None:
    assert sorted(SOURCES) == sorted(SCHEMES)


@pytest.mark.parametrize("uri", ["als.pkl", "http://host/x", "https://host/x", "s3://b/k", f"gdrive://{ID}"])
def test_every_source_has_the_interface(uri: str) -> None:
    source = open_source(ModelSettings(name="als", source=uri), Settings())
    assert inspect.iscoroutinefunction(source.probe)
    assert list(inspect.signature(source.fetch).parameters) == list(inspect.signature(Source.fetch).parameters)[1:]
    assert source.uri in repr(source)


def test_limits_of() -> None:
    limits = limits_of(ModelSettings(name="als", max_artifact_bytes=1, stall_timeout_s=2.0, fetch_timeout_s=3.0))
    assert (limits.max_bytes, limits.stall_timeout_s, limits.total_timeout_s) == (1, 2.0, 3.0)

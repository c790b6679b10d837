"""Static files, kept compressed in memory, under URLs that change with their content."""

import dataclasses
import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from flask import Response, request
from werkzeug.exceptions import NotFound

YEAR_S = 365 * 86_400
COMPRESSION_LEVEL = 6


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """One static file."""

    media_type: str
    digest: str
    """Digest of the content: in the ETag, and in the URL that may be cached for ever."""
    compressed: bytes


class AssetFolder:
    """Serves a fixed list of files; each is read and compressed at its first use.

    Args:
        paths: the files by the last part of their URL.
        address: prefix of their URLs, with a slash at its end.
        replacements: texts to replace in the files.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        address: str,
        replacements: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> None:
        self._paths = dict(paths)
        self._address = address
        self._replacements = replacements
        self._load = cache(self._read)

    def url(self, name: str) -> str:
        """The URL of a file with its present content."""
        return f"{self._address}{name}?v={self._load(name).digest}"

    def response(self, name: str) -> Response:
        """Answer the current request for a file.

        Raises:
            NotFound: no such file.
        """
        if name not in self._paths:
            raise NotFound
        asset = self._load(name)
        compressed = request.accept_encodings.quality("gzip") > 0
        body = asset.compressed if compressed else gzip.decompress(asset.compressed)
        response = Response(body, mimetype=asset.media_type)
        if compressed:
            response.content_encoding = "gzip"
        response.vary.add("Accept-Encoding")
        response.set_etag(asset.digest, weak=True)
        response.cache_control.public = True
        if request.args.get("v") == asset.digest:
            response.cache_control.max_age = YEAR_S
            response.cache_control.immutable = True
        else:
            response.cache_control.no_cache = True
        response.make_conditional(request)
        return response

    def _read(self, name: str) -> Asset:
        content = self._paths[name].read_bytes()
        for text, replacement in self._replacements.items():
            content = content.replace(text, replacement)
        return Asset(
            media_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
            digest=hashlib.sha256(content).hexdigest()[:16],
            compressed=gzip.compress(content, COMPRESSION_LEVEL, mtime=0),
        )

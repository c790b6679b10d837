"""Static files, held in memory compressed, under addresses that change with their content."""

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
    """Names the content: in the ETag, and in the address that may be cached for ever."""
    compressed: bytes


class AssetFolder:
    """Serves a fixed list of files; each is read and compressed once, at its first use.

    Args:
        paths: the files by the last part of their address.
        address: what their addresses start with, ending in a slash.
        replacements: texts of the files that are served as something else.
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
        """The address of a file in its present content."""
        return f"{self._address}{name}?v={self._load(name).digest}"

    def response(self, name: str) -> Response:
        """The answer to the current request for a file.

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

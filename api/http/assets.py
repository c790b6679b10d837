"""Static content, compressed once and kept in memory; files have URLs that change with them."""

import hashlib
import mimetypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from flask import Response, request
from werkzeug.exceptions import NotFound

from api.http.compression import (
    ACCEPT_ENCODING,
    MIN_BYTES,
    ONCE,
    Coding,
    accepted_by_request,
    compress,
    is_compressible,
)
from api.http.conditional import conditional

YEAR_S = 365 * 86_400


class Asset:
    """Content that does not change while the process runs.

    Args:
        content: the bytes.
        media_type: without parameters.
    """

    def __init__(self, content: bytes, media_type: str) -> None:
        self._content = content
        self._media_type = media_type
        self._is_compressed = is_compressible(media_type) and len(content) >= MIN_BYTES
        self._in_coding = cache(self._encode)
        self.digest = hashlib.sha256(content).hexdigest()[:16]
        """Of the content: in the ETag, and in the URL that may be cached for ever."""

    def response(self) -> Response:
        """Answer the current request; the coding is chosen by `Accept-Encoding`."""
        accepted = accepted_by_request()
        coding = accepted.best or Coding.IDENTITY
        if accepted.identity and not self._is_compressed:
            coding = Coding.IDENTITY
        response = Response(self._in_coding(coding), mimetype=self._media_type)
        if coding is not Coding.IDENTITY:
            response.content_encoding = coding
        response.headers["Vary"] = ACCEPT_ENCODING
        response.set_etag(self.digest, weak=True)
        response.headers["Cache-Control"] = "public, no-cache"
        return conditional(response)

    def _encode(self, coding: Coding) -> bytes:
        """The content in a coding, compressed at the first request for it."""
        return compress(self._content, coding, ONCE)


class AssetFolder:
    """Serves a fixed list of files; each is read at its first use.

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
        response = asset.response()
        if request.args.get("v") == asset.digest:
            response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
        return response

    def _read(self, name: str) -> Asset:
        content = self._paths[name].read_bytes()
        for text, replacement in self._replacements.items():
            content = content.replace(text, replacement)
        return Asset(content, mimetypes.guess_type(name)[0] or "application/octet-stream")

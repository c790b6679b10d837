"""Restores what `write.py` wrote of a release into Redis and a folder."""

import base64
import json
from pathlib import Path
from typing import Any

from shared.redis.connections import RedisClient

FOLDER = Path(__file__).parent
RELEASES = sorted(path.stem for path in FOLDER.glob("*.json"))


def read_release(name: str) -> dict[str, Any]:
    """Everything that was written of a release; `ids` names it."""
    release: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return release


def restore_keys(client: RedisClient, keys: dict[str, Any]) -> None:
    """Write the keys of one server."""
    for name, (kind, packed) in keys.items():
        if kind == "string":
            client.set(name, base64.b64decode(packed))
            continue
        content = [base64.b64decode(each) for each in packed]
        pairs = list(zip(content[::2], content[1::2], strict=False))
        if kind == "list":
            client.rpush(name, *content)
        elif kind == "set":
            client.sadd(name, *content)
        elif kind == "hash":
            client.hset(name, mapping=dict(pairs))
        else:
            client.zadd(name, {member: float(score) for member, score in pairs})


def restore_blobs(folder: Path, blobs: dict[str, str]) -> None:
    """Write the blobs of batches."""
    for name, content in blobs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))

"""The real text of the experiments, checked; or a word on where it comes from."""

from __future__ import annotations

import functools
import hashlib
import pathlib
import sys

SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
ORIGIN = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"


@functools.lru_cache(maxsize=1)
def load(data: str | None, other: str | None) -> bytes:
    """tinyshakespeare (1,115,394 bytes) from the folder `data`; or any other file."""
    if other:
        return pathlib.Path(other).read_bytes()
    for path in ([pathlib.Path(data) / "tinyshakespeare" / "input.txt",
                  pathlib.Path(data) / "input.txt"] if data else []):
        if path.is_file():
            text = path.read_bytes()
            if hashlib.sha256(text).hexdigest() != SHA256:
                sys.exit(f"{path} is not the file meant here: its sha256 is not {SHA256}")
            return text
    sys.exit(f"This needs tinyshakespeare (1,115,394 bytes, public domain):\n  {ORIGIN}\n"
             f"  sha256 {SHA256}\n"
             "Put it into a folder as input.txt, and name the folder: DATA=folder, or --data folder")


def named(other: str | None) -> dict[str, str]:
    """What a job says of another text, so that its numbers do not mix with those of the usual one."""
    return {"text": hashlib.sha256(load(None, other)).hexdigest()[:12]} if other else {}


def parts(text: bytes) -> tuple[bytes, bytes, bytes]:
    """85 % to train on, 5 % to choose a learning rate by, and the last 10 %, which is reported
    (nanoGPT's validation part)."""
    choice, report = len(text) * 85 // 100, len(text) * 9 // 10
    return text[:choice], text[choice:report], text[report:]

"""A small Hugging Face hub on this machine: enough of it to list data sets and models and fetch their files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from huggingface_hub import constants

SHA = "0123456789abcdef0123456789abcdef01234567"
CONVERTED = "fedcba9876543210fedcba9876543210fedcba98"


@dataclass
class SmallHub:
    """Data sets and models by id: path -> bytes on the main branch, and on the branch of its conversion to parquet.

    `gated` ids need terms accepted. `sent` counts the bytes of each file that were fetched.
    """

    url: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    converted: dict[str, dict[str, bytes]] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    sent: dict[str, int] = field(default_factory=dict)
    breaks_after: int | None = None  # requests for files that are answered before the network fails

    def tree(self, repository: str, revision: str) -> dict[str, bytes] | None:
        """Files of a revision; None if there is none."""
        if revision in ("main", SHA):
            return self.files.get(repository)
        return self.converted.get(repository) if revision in ("refs/convert/parquet", CONVERTED) else None


@contextlib.contextmanager
def small_hub() -> Iterator[SmallHub]:
    """Run a hub for as long as the block lasts."""
    hub = SmallHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            parts = [unquote(part) for part in urlparse(self.path).path.strip("/").split("/")]
            if parts[0] == "api":  # of data sets and models alike
                self.listing("/".join(parts[2:4]), parts[4:])
            else:  # [datasets/]owner/name/resolve/revision/path
                parts = parts[parts[0] == "datasets" :]
                self.file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))

        do_HEAD = do_GET

        def listing(self, repository: str, rest: list[str]) -> None:
            if repository in hub.gated:
                self.answer(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
                return
            if repository not in hub.files:
                self.answer(404, {"error": "none"}, {"X-Error-Code": "RepoNotFound"})
                return
            revision = rest[1] if len(rest) > 1 else "main"
            files = hub.tree(repository, revision)
            if files is None:
                self.answer(404, {"error": "none"}, {"X-Error-Code": "RevisionNotFound"})
            elif rest[:1] == ["tree"]:
                folder, recursive = "/".join(rest[2:]), "recursive=true" in self.path.lower()
                entries = [
                    {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
                    for path, content in files.items()
                    if recursive or path.rpartition("/")[0] == folder
                ]
                self.answer(200, entries)
            else:
                siblings = [
                    {"rfilename": path, "size": len(content), "blobId": "0" * 40}
                    for path, content in files.items()
                ]
                sha = CONVERTED if revision in ("refs/convert/parquet", CONVERTED) else SHA
                about = {"id": repository, "sha": sha, "siblings": siblings, "tags": [], "private": False}
                self.answer(200, about | {"cardData": hub.cards.get(repository, {})})

        def file(self, repository: str, revision: str, path: str) -> None:
            if hub.breaks_after is not None:
                hub.breaks_after -= 1
                if hub.breaks_after < 0:
                    self.answer(400, {"error": "the line is dead"})
                    return
            content = (hub.tree(repository, revision) or {})[path]
            first, last = self.headers.get("Range", f"bytes=0-{len(content) - 1}")[6:].split("-")
            part = content[int(first) : int(last) + 1]
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", SHA)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.end_headers()
            if self.command == "HEAD":
                return
            hub.sent[path] = hub.sent.get(path, 0) + len(part)
            self.wfile.write(part)

        def answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            for name, text in ({"Content-Type": "application/json"} | (headers or {})).items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def hub_in_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """Run a hub, for as long as the block lasts, in the place of the one in the network."""
    with small_hub() as hub:
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.delenv(proxy, raising=False)
        yield hub

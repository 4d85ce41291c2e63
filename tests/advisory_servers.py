"""Advisory data as it is handed out in public, made here: archives, and servers on loopback that fail on demand."""

from __future__ import annotations

import atexit
import base64
import functools
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import spine  # type: ignore[import-not-found]
from truegate.advisories.archives import COMPILED_HERE, PUBLIC_RECORDS_MIN
from truegate.advisories.stores import SEED

DATES = {"npm": "2025-06-11T00:00:00Z", "PyPI": "2025-06-24T00:00:00Z"}  # the newest `modified` of the seed
LAYER_TYPE = "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def record(name: str, ecosystem: str = "npm", **fields: Any) -> dict[str, Any]:
    """Give an OSV record as OSV writes it."""
    package = {"ecosystem": ecosystem, "name": f"nobody-has-{name.lower()}"}
    affected = {"package": package, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}]}
    plain = {"id": name, "schema_version": "1.7.0", "modified": "2024-01-01T00:00:00Z", "affected": [affected]}
    return plain | fields


def osv_zip(records: Sequence[Mapping[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for item in records:
            bundle.writestr(f"{item['id']}.json", json.dumps(item))
    return buffer.getvalue()


def tar_gz(files: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """Give an archive of files, and of links and devices given as their headers."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name, data in files.items():
            if isinstance(data, tarfile.TarInfo):
                tar.addfile(data)
                continue
            head = tarfile.TarInfo(name)
            head.size = len(data)
            tar.addfile(head, io.BytesIO(data))
    return buffer.getvalue()


@dataclass(frozen=True)
class Archives:
    """`db` and `zips` look like the public data; `own_db` and `own_zips` are the seed as this kit compiles it."""

    database: bytes
    metadata: bytes
    own_database: bytes
    zips: Mapping[str, bytes]
    own_zips: Mapping[str, bytes]

    @property
    def db(self) -> bytes:
        return tar_gz({"trivy.db": self.database, "metadata.json": self.metadata})

    @property
    def own_db(self) -> bytes:
        return tar_gz({"trivy.db": self.own_database, "metadata.json": self.metadata})


@functools.cache
def archives() -> Archives:
    """Make the seed, and the seed among as many other records as the public data has at least."""
    folder = Path(tempfile.mkdtemp(prefix="truegate-archives-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(SEED, folder / "records")
    spine.compile_into(folder / "own", folder / "records")
    for ecosystem in ("npm", "PyPI"):
        for number in range(PUBLIC_RECORDS_MIN):
            item = record(f"MAL-2024-{ecosystem}-{number}", ecosystem)
            (folder / "records" / f"{item['id']}.json").write_text(json.dumps(item))
    spine.compile_into(folder / "wide", folder / "records")
    database = (folder / "wide/trivy/db/trivy.db").read_bytes()
    assert COMPILED_HERE in database
    return Archives(
        database=database.replace(COMPILED_HERE, b"GitHub Security Advisory".ljust(len(COMPILED_HERE))),
        metadata=(folder / "wide/trivy/db/metadata.json").read_bytes(),
        own_database=(folder / "own/trivy/db/trivy.db").read_bytes(),
        zips={name: osv_zip(_as_osv(folder / f"wide/osv/osv-scalibr/{name}/all.zip")) for name in ("npm", "PyPI")},
        own_zips={name: (folder / f"own/osv/osv-scalibr/{name}/all.zip").read_bytes() for name in ("npm", "PyPI")},
    )


def _as_osv(compiled: Path) -> list[dict[str, Any]]:
    with zipfile.ZipFile(compiled) as bundle:
        return [json.loads(bundle.read(name)) | {"schema_version": "1.7.0"} for name in bundle.namelist()]


@dataclass(frozen=True)
class Answer:
    """What a server sends; a `declared` length beyond the body is a transfer that breaks off."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    declared: int | None = None


@dataclass(frozen=True)
class Server:
    """A server on loopback; `asked` fills with the paths that were asked for."""

    host: str
    asked: list[str]


Headers = Mapping[str, str]
Route = Callable[[str, Headers], Answer]


@contextmanager
def serving(route: Route) -> Iterator[Server]:
    """Answer GET requests by `route` (path and headers) until the end of the block."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answer = route(self.path, {name.title(): value for name, value in self.headers.items()})
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(answer.declared or len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing: Trivy tries TLS first, and breaks off."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that break off."""

    with Quiet(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Server(f"127.0.0.1:{server.server_port}", asked)
        finally:
            server.shutdown()
            thread.join()


def registry(layer: bytes, first: Sequence[Answer] = (), *, login: str = "", cut: bool = False) -> Route:
    """Give a registry that holds `layer` as db:2; it answers with `first` before, and wants `login` where given."""
    faults = list(first)
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = {"mediaType": "application/json", "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}", "size": 2}
    layers = [{"mediaType": LAYER_TYPE, "digest": digest, "size": len(layer)}]
    layers[0]["annotations"] = {"org.opencontainers.image.title": "db.tar.gz"}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
    wanted = f"Basic {base64.b64encode(login.encode()).decode()}"

    def route(path: str, headers: Mapping[str, str]) -> Answer:
        if login and headers.get("Authorization") != wanted:
            told = b'{"errors":[{"code":"UNAUTHORIZED","message":"log in first"}]}'
            return Answer(401, told, {"WWW-Authenticate": 'Basic realm="db"'})
        if path == "/v2/":
            return Answer(body=b"{}")
        if path == "/v2/db/manifests/2":
            if faults:
                return faults.pop(0)
            return Answer(body=json.dumps(manifest).encode(), headers={"Content-Type": MANIFEST_TYPE})
        if path == f"/v2/db/blobs/{digest}":
            return Answer(body=layer[: len(layer) // 2] if cut else layer, declared=len(layer))
        return Answer(404)

    return route


def files(bodies: Mapping[str, bytes], first: Mapping[str, Sequence[Answer]] | None = None) -> Route:
    """Give a file server for `bodies` by path; a path answers with what `first` has for it before."""
    faults = {path: list(answers) for path, answers in (first or {}).items()}

    def route(path: str, _headers: Mapping[str, str]) -> Answer:
        if faults.get(path):
            return faults[path].pop(0)
        return Answer(body=bodies[path]) if path in bodies else Answer(404)

    return route

"""Writes a folder as an OCI image layout of one layer: oci.py ROOT LAYOUT VERSION SECONDS ID

The same folder gives the same image: files stand in the order of their names, with one time, and belong to root, but for
the data folder.
"""
import datetime
import gzip
import hashlib
import io
import json
import pathlib
import platform
import shutil
import sys
import tarfile

ROOT, LAYOUT, VERSION, SECONDS, ID = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
DATA = "var/lib/hookbox"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}[platform.machine()]


def layer():
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(ROOT.rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            info = tar.gettarinfo(path, name)
            info.mtime = SECONDS
            info.uid = info.gid = ID if name == DATA else 0
            info.uname = info.gname = ""
            if info.isreg():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
    return raw.getvalue()


def blob(data, kind, **more):
    digest = hashlib.sha256(data).hexdigest()
    (LAYOUT / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data), **more}


def text(value):
    return json.dumps(value, sort_keys=True).encode()


shutil.rmtree(LAYOUT, ignore_errors=True)
(LAYOUT / "blobs/sha256").mkdir(parents=True)
(LAYOUT / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

tar = layer()
packed = io.BytesIO()
with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, compresslevel=9) as file:
    file.write(tar)
created = datetime.datetime.fromtimestamp(SECONDS, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
config = {
    "architecture": ARCHITECTURE,
    "os": "linux",
    "created": created,
    "config": {
        "User": f"{ID}:{ID}",
        "Env": ["PATH=/usr/bin", f"HOOKBOX_DATA=/{DATA}", "HOOKBOX_LISTEN=0.0.0.0:8420", f"HOOKBOX_SOCKET=/{DATA}/admin.sock"],
        "Entrypoint": ["/usr/bin/hookboxd"],
        "ExposedPorts": {"8420/tcp": {}},
        "Volumes": {f"/{DATA}": {}},
        "WorkingDir": f"/{DATA}",
        "StopSignal": "SIGTERM",
        "Labels": {"org.opencontainers.image.title": "hookbox", "org.opencontainers.image.version": VERSION,
                   "org.opencontainers.image.licenses": "MIT OR Apache-2.0"},
    },
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]},
    "history": [{"created": created, "created_by": "packaging/build-oci"}],
}
manifest = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": blob(text(config), "config.v1+json"),
    "layers": [blob(packed.getvalue(), "layer.v1.tar+gzip")],
}
entry = blob(text(manifest), "manifest.v1+json", annotations={"org.opencontainers.image.ref.name": "hookbox"})
(LAYOUT / "index.json").write_bytes(text({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}))
print(f"{LAYOUT}: one layer of {len(packed.getvalue()) // 1024} KiB, {entry['digest']}")

"""`submodel pull` in a fresh folder with the core install: seconds and bytes, and what it refuses.

    python -m benchmarks.portability.clean_pull BUNDLE

Publishes BUNDLE to a registry that a web server of this process serves, and pulls it with a clean environment (as
`benchmarks.portability.clean_install` makes one): the first pull with the first completion after it, a second pull, one
after a publication that changed bundle.json alone, and one from a copy of the folder. Then the registry is changed in
five ways, each pulled once: the exit code, the sentence, and whether the bundle is as it was. Processor seconds are
those of the pull's process; all other seconds depend on what else the machine does: `load_average` says how many
processes wanted a core. Writes benchmarks/results/pull.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.builds import write_result
from benchmarks.portability.clean_install import PROGRAM, complete, install_core
from contract.bundle.bundle import WORKSPACE_BUNDLE, Bundle, read_bundle
from contract.bundle.manifest import read_manifest, write_manifest
from testbed.registries import make_repository, publish


class Counting(SimpleHTTPRequestHandler):
    """Serves a folder, and counts requests and the bytes of the files."""

    requests = sent = 0

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """One file."""
        type(self).requests += 1
        type(self).sent += os.fstat(source.fileno()).st_size
        super().copyfile(source, outputfile)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def main() -> None:
    """Install, publish, pull, refuse."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    known = parser.parse_args()
    bundle = read_bundle(known.bundle.absolute())
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"SUBMODEL_STATE_DIR": f"{scratch}/state", "SUBMODEL_CACHE": f"{scratch}/cache"}
        document = measure(bundle, Path(scratch))
    print(json.dumps(document, indent=2))
    write_result("pull", document)


def measure(bundle: Bundle, scratch: Path) -> dict[str, Any]:
    """The figures; everything happens in the empty folder `scratch`."""
    submodel, installed = install_core(scratch)
    registry, repository = scratch / "registry", make_repository(scratch / "repository")
    (repository / "area.py").write_text(PROGRAM, "utf-8")
    started = time.perf_counter()
    key = publish(bundle.folder, registry)
    published_s = time.perf_counter() - started
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Counting, directory=str(registry)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    pulls = {"first": pull(submodel, repository, address, "--key", key)}
    started = time.perf_counter()
    answer = complete(submodel, repository)
    completion_s = time.perf_counter() - started
    pulls["again"] = pull(submodel, repository)
    older = shutil.copytree(registry, scratch / "older", copy_function=os.link)
    newer = Path(shutil.copytree(bundle.folder, scratch / "newer", copy_function=os.link))
    (newer / "bundle.json").unlink()
    write_manifest(newer, {**read_manifest(bundle.folder), "mark": "newer"})
    publish(newer, registry)
    pulls["after bundle.json alone changed"] = pull(submodel, repository)
    mirror = shutil.copytree(registry, scratch / "mirror", copy_function=os.link)
    shutil.rmtree(scratch / "cache")
    shutil.rmtree(repository / ".submodel")
    pulls["from a copy of the folder, cache and bundle removed"] = pull(submodel, repository, mirror)
    publish(bundle.folder, registry)  # something to refuse
    return {
        "command": "python -m benchmarks.portability.clean_pull BUNDLE",
        "load_average": round(os.getloadavg()[0], 1),
        **installed,
        "bundle": {
            "base": bundle.manifest["base"]["name"],
            "parameters": bundle.manifest.get("parameters"),
            "files": len(bundle.manifest["files"]) + 1,
            "bytes": sum(facts["bytes"] for facts in bundle.manifest["files"].values()),
        },
        "registry": {
            "publish_s": round(published_s, 2),
            "metadata_bytes": sum(path.stat().st_size for path in (older / "metadata").iterdir()),
        },
        "pulls": pulls,
        "first_completion_s": round(completion_s, 2),
        "completion": answer["raw"],
        "refusals": refusals(submodel, repository, registry, older, bundle),
    }


def pull(submodel: tuple[object, ...], repository: Path, *arguments: object) -> dict[str, Any]:
    """What a pull did, as it says itself, beside seconds and what the server sent."""
    Counting.requests = Counting.sent = 0
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [*map(str, (*submodel, "pull", *arguments, "--json"))]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    said = json.loads(done.stdout)
    return {
        "state": said["state"],
        "fetched_bytes": said["fetched_bytes"],
        "server_sent_bytes": Counting.sent,
        "server_answers": Counting.requests,
        "seconds": said["seconds"],
        "process_s": round(wall_s, 2),
        "processor_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
    }


def refusals(
    submodel: tuple[object, ...], repository: Path, registry: Path, older: Path, bundle: Bundle
) -> dict[str, dict[str, Any]]:
    """What a pull says of each changed registry, and whether the bundle stayed; each change is undone after it."""
    timestamp = registry / "metadata" / "timestamp.json"
    manifest = registry / "files" / bundle.build[:2] / bundle.build

    def flip() -> None:
        content = bytearray(manifest.read_bytes())
        content[len(content) // 2] ^= 1
        replace(manifest, bytes(content))

    def sign_wrongly() -> None:
        document = json.loads(timestamp.read_text("utf-8"))
        document["signatures"][0]["sig"] = "0" * 128
        replace(timestamp, json.dumps(document).encode())

    def replace_index() -> None:
        publish(bundle.folder, registry.with_name("stranger"))
        shutil.rmtree(registry / "metadata")
        shutil.copytree(registry.with_name("stranger") / "metadata", registry / "metadata")

    def put_older() -> None:
        shutil.rmtree(registry / "metadata")
        shutil.copytree(older / "metadata", registry / "metadata")

    def leave_half() -> None:
        for path in (registry / "metadata").glob("*.snapshot.json"):
            path.unlink()

    changes: dict[str, Callable[[], None]] = {
        "a flipped byte": flip,
        "a wrong signature": sign_wrongly,
        "a replaced index": replace_index,
        "an older version in place of a newer one": put_older,
        "a half-written folder": leave_half,
    }
    whole = shutil.copytree(registry, registry.with_name("whole"), copy_function=os.link)
    found = {}
    # A half-written folder first: of what was read of an index once, nothing is asked for again.
    for name, change in sorted(changes.items(), key=lambda item: item[1] is not leave_half):
        before = read_bundle(repository / WORKSPACE_BUNDLE).build
        change()
        command = [*map(str, (*submodel, "pull"))]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
        after = read_bundle(repository / WORKSPACE_BUNDLE)
        found[name] = {
            "exit_code": done.returncode,
            "sentence": done.stderr.strip().splitlines()[-1].replace(str(registry.parent), "…"),
            "bundle_is_as_before": after.build == before,
        }
        shutil.rmtree(registry)
        shutil.copytree(whole, registry, copy_function=os.link)
    return found


def replace(path: Path, content: bytes) -> None:
    """Write another file in the place of one that may have a second name."""
    path.unlink()
    path.write_bytes(content)


if __name__ == "__main__":
    main()

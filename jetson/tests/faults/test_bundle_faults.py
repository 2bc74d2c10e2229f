"""A bundle whose files agree with each other and not with its network."""

import hashlib
import json
import os

import pytest
from measured_bundle import add_samples, benchmark

from jetson.play.bundle import load_bundle


def rewrite(folder, name, content):
    """Write a file of a bundle and its hash, so that the bundle is whole."""
    with open(os.path.join(folder, *name.split("/")), "wb") as stream:
        stream.write(content)
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as stream:
        manifest = json.load(stream)
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    with open(os.path.join(folder, "manifest.json"), "w", encoding="utf-8") as stream:
        json.dump(manifest, stream)


@pytest.mark.parametrize(
    ("swapped", "problem"),
    [
        (("fire", "ghost"), "symbol 6 is ghost in the manifest and fire in the reference"),
        (("anchor", "ghost"), "symbol 1 is ghost in the manifest and anchor in the reference"),
    ],
    ids=["on no sample", "on a sample"],
)
def test_labels_that_are_swapped_in_the_whole_bundle_do_not_pass(write_bundle, tmp_path, swapped, problem):
    folder = add_samples(write_bundle())
    path = os.path.join(folder, "samples", "reference.json")
    with open(path, encoding="utf-8") as stream:
        reference = json.load(stream)
    labels = load_bundle(folder).labels
    reference["labels"] = list(labels)
    rewrite(folder, "samples/reference.json", json.dumps(reference).encode())

    other = dict([swapped, swapped[::-1]])
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as stream:
        manifest = json.load(stream)
    manifest["labels"] = [other.get(label, label) for label in labels]
    manifest["deck"] = [[other.get(label, label) for label in card] for card in manifest["deck"]]
    with open(os.path.join(folder, "manifest.json"), "w", encoding="utf-8") as stream:
        json.dump(manifest, stream)
    rewrite(folder, "labels.txt", "\n".join(["BACKGROUND"] + manifest["labels"]).encode() + b"\n")
    done = benchmark(folder, tmp_path, ["fast"])
    assert done.returncode == 1
    assert problem in done.stderr

"""Copy a folder of images without its exact copies and its pictures with a black border.

usage: python benchmarks/tidy.py data/crops data/celeba64 [--out results/celeba64/tidy.json]

A border is black if at least half of the pixels of one edge have no channel above 4, at the width
that the network will see (--size). This made the data of checkpoints/celeba64. Nothing in the first
folder is changed; sub-folders, which are classes, are kept.
"""

import argparse
import hashlib
import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinydiff.data import read_image, scan
from tinydiff.run import guard, writable, write_text


def black_border(x: np.ndarray) -> bool:  # (3, n, n) uint8
    dark = x.max(0) <= 4
    edges = np.stack([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    return bool((edges.mean(1) >= 0.5).any())


@guard
def main():
    formatter = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    p.add_argument("source", type=Path, help="folder of images")
    p.add_argument("target", type=Path, help="a folder that does not exist yet")
    p.add_argument("--size", type=int, default=64, help="width at which an edge is looked at")
    p.add_argument("--out", type=Path, help="JSON file of the counts")
    a = p.parse_args()
    if a.target.exists() or a.source.resolve() in a.target.resolve().parents:
        raise ValueError(f"{a.target} is there already, or in {a.source}: name a new folder")
    part = a.target.with_name(f"{a.target.name}.part")  # renamed when it is whole
    if part.exists():
        raise ValueError(f"{part} is what a stopped copy left: remove it")
    writable(part / "some.png")
    paths, seen, kept = scan(a.source)[0], set(), []
    count = dict(files=len(paths), copies=0, black_border=0)
    for path in tqdm(paths, "looking"):
        digest = hashlib.sha256(path.read_bytes()).digest()
        if digest in seen:
            count["copies"] += 1
        elif black_border(read_image(path, a.size, 3)):
            count["black_border"] += 1
        else:
            kept.append(path)
        seen.add(digest)
    for path in tqdm(kept, "copying"):
        file = part / path.relative_to(a.source)
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, file)
    part.rename(a.target)
    row = dict(command=shlex.join(["python", *sys.argv]), **count, kept=len(kept), size=a.size)
    text = json.dumps(row, indent=1)
    if a.out:
        write_text(text + "\n", a.out)
    print(text)


if __name__ == "__main__":
    main()

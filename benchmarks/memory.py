"""Memory of a process that trains from an array larger than itself, written as JSON (Linux only).

usage: python benchmarks/memory.py [--gb 3] [--train 6400] [--dir /tmp] [--out results/benchmarks/memory.json]

A file of random 64x64 images (in --dir, removed at the end) is read in two ways, while a thread samples
how much memory the process holds (VmRSS: its own data and the pages of mapped files):
1. `mapped`: a very small UNet trains from `tinydiff.data.Mapped` for --train images; after that only batches
   are drawn, by the function that training uses, until as many images were read as the file holds. Its memory
   is compared with what it was after ten steps, when the network, its gradients and averages are in place.
2. `plain`: as many images at random from `np.load(..., mmap_mode="r")`, which gives no page back.
"""

import argparse
import json
import os
import platform
import re
import shlex
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from tinydiff.data import Mapped
from tinydiff.schedule import linear_schedule
from tinydiff.train import Recipe, draw_batch, train

SIZE, BATCH = 64, 64
CONFIG = dict(
    schedule=dict(name="linear", T=1000),
    model=dict(image_size=SIZE, channels=3, ch=16, mult=[1, 2], blocks=1, attn=[], patch=4),
    train=dict(batch=BATCH, warmup=1000, log=10**9, save=10**9),
)


def memory():
    "Bytes that this process holds: in all, its own (anonymous), and of mapped files."
    rows = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/self/status").read_text()))
    anon, mapped = (
        int(rows["RssAnon"]) * 1024,
        (int(rows["RssFile"]) + int(rows["RssShmem"])) * 1024,
    )
    return dict(rss=anon + mapped, anon=anon, files=mapped)


class Counted:
    "Images of which it is known how many were read, and which."

    def __init__(self, x):
        self.x, self.read, self.seen = x, 0, np.zeros(len(x), dtype=bool)

    def __getattr__(self, name):
        return getattr(self.x, name)

    def __len__(self):
        return len(self.x)

    def to(self, device):
        return self

    def __getitem__(self, i):
        self.read += len(i)
        self.seen[i] = True
        return self.x[i]


class Watch:
    "A thread that notes images read and memory held, twenty times a second."

    def __init__(self, x):
        self.x, self.rows, self.stop = x, [], threading.Event()

    def note(self):
        self.rows.append((self.x.read, memory()))

    def run(self):
        while not self.stop.wait(0.05):
            self.note()

    def __enter__(self):
        self.note()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.note()

    def summary(self, settled=0):
        "Memory at the start, after `settled` images, and at most from then on; its growth; share of the array that was read; the curve."
        late = [m for n, m in self.rows if n >= settled]
        most = max(late, key=lambda m: m["rss"])
        row = dict(
            images_read=self.x.read,
            share_of_array_read=round(float(self.x.seen.mean()), 4),
            start=self.rows[0][1],
            settled_after_images=settled,
            settled=late[0],
            highest=most,
            growth=most["rss"] - late[0]["rss"],
        )
        return row | dict(
            curve=[
                (n, m["rss"])
                for n, m in self.rows[: -1 : max(1, len(self.rows) // 100)] + self.rows[-1:]
            ]
        )


def write(path, n):
    "A .npy file of n random images."
    rng, out = (
        np.random.default_rng(0),
        np.lib.format.open_memmap(path, "w+", np.uint8, (n, 3, SIZE, SIZE)),
    )
    for i in tqdm(range(0, n, 4096), desc="writing", unit="block"):
        out[i : i + 4096] = rng.integers(256, size=out[i : i + 4096].shape, dtype=np.uint8)
    out.flush()


def train_and_draw(x, images, out):
    "Train for `images` images; then draw batches until x was read as often as it has images."
    config = CONFIG | dict(train=CONFIG["train"] | dict(images=images))
    train(config, x, None, out)
    trained = x.read
    for step in tqdm(
        range(trained // BATCH, len(x) // BATCH),
        desc="drawing batches",
        unit="img",
        unit_scale=BATCH,
    ):
        draw_batch(
            x, None, Recipe(**config["train"]), step, linear_schedule(), 0, torch.device("cpu")
        )
    return trained


if __name__ == "__main__":
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--gb", type=float, default=3, help="size of the array, in 10^9 bytes")
    p.add_argument("--train", type=int, default=6400, help="images to train on")
    p.add_argument(
        "--dir",
        help="where the array is written (default: the system's folder for temporary files)",
    )
    p.add_argument("--out", default="results/benchmarks/memory.json")
    a = p.parse_args()
    start = time.time()
    with tempfile.TemporaryDirectory(dir=a.dir) as tmp:
        file = Path(tmp) / "64x64x3.npy"
        write(file, int(a.gb * 1e9) // (3 * SIZE * SIZE))
        x = Counted(Mapped(file))
        with Watch(x) as watch:
            trained = train_and_draw(x, a.train, tmp)
        mapped, plain = watch.summary(10 * BATCH), Counted(np.load(file, mmap_mode="r"))
        with Watch(plain) as watch:
            for step in tqdm(
                range(x.read // BATCH), desc="plain mapping", unit="img", unit_scale=BATCH
            ):
                plain[torch.randint(len(x), (BATCH,)).numpy()]
        row = dict(
            command=shlex.join(["python", *sys.argv]),
            array_bytes=x.nbytes,
            shape=list(x.shape),
            images_trained_on=trained,
            images_only_drawn=mapped["images_read"] - trained,
            mapped=mapped,
            plain=watch.summary(),
            hardware=f"{os.cpu_count()} CPU cores ({platform.machine()})",
            torch=torch.__version__,
            seconds=round(time.time() - start, 1),
        )
    out = Path(a.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", json.dumps(row, indent=1)) + "\n"
    )  # a pair in a line
    MB = lambda n: f"{n / 1e6:,.0f} MB"
    print(
        f"array: {MB(row['array_bytes'])}, {len(x):,} images; trained on {trained:,}, then {row['images_only_drawn']:,} only drawn, without a training step"
    )
    for name in ("mapped", "plain"):
        r = row[name]
        print(
            f"{name}: {r['images_read']:,} images read, {r['share_of_array_read']:.0%} of the array; memory {MB(r['start']['rss'])} at the start, {MB(r['settled']['rss'])} after {r['settled_after_images']:,} images, {MB(r['highest']['rss'])} at most from then on: growth {MB(r['growth'])}"
        )

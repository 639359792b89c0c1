"""What moves FD-EffNetLite0 of *real* images: their number, the split, JPEG, resizing. Chapter 7 draws the result.

usage: python benchmarks/real_images.py [--data data] [--n 2000] [--out results/cifar10/real_images.json]
"""

import argparse
import io
import json
import os
import platform
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tqdm import tqdm

from tinydiff.data import cifar10
from tinydiff.fid import Moments, Real, efficientnet_lite0


def pil(f, images):
    "Apply a function of PIL images to (N, 3, H, W) uint8."
    return torch.stack(
        [
            torch.from_numpy(np.array(f(Image.fromarray(i.permute(1, 2, 0).numpy())))).permute(
                2, 0, 1
            )
            for i in images
        ]
    )


def jpeg(quality):
    def f(im):
        file = io.BytesIO()
        im.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return lambda images: pil(f, images)


def shrunk(mode, antialias):
    "To 20x20 and back, as a careless or a careful loader would do it."

    def f(images):
        small = F.interpolate(images.float(), size=(20, 20), mode=mode, antialias=antialias)
        return (
            F.interpolate(small, size=(32, 32), mode="bicubic")
            .round()
            .clamp(0, 255)
            .to(torch.uint8)
        )

    return f


def enlarged(mode):
    "To the 128x128 of the network, in another way than its own (bilinear)."
    return lambda images: (
        F.interpolate(images.float(), size=(128, 128), mode=mode)
        .round()
        .clamp(0, 255)
        .to(torch.uint8)
    )


if __name__ == "__main__":
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--data", default="data")
    p.add_argument("--n", type=int, default=2000, help="images for each change")
    p.add_argument("--out", default="results/cifar10/real_images.json")
    a = p.parse_args()
    start, features = (
        time.time(),
        efficientnet_lite0("cuda" if torch.cuda.is_available() else "cpu"),
    )
    x, y, _ = cifar10(a.data)
    xt, yt, _ = cifar10(a.data, train=False)
    real = Real(features, x, y, xt, yt)

    def distance(f):
        m = Moments(features.dim)
        m.add(f)
        return real.distance(m)

    sizes = [n for n in (250, 500, 1000, 2000, 4000, 10_000) if n <= len(xt)]
    g = torch.Generator().manual_seed(0)
    order = torch.randperm(len(xt), generator=g)
    changes = {
        "JPEG, quality 95": jpeg(95),
        "JPEG, quality 75": jpeg(75),
        "shrunk to 20x20 and back, antialiased": shrunk("bicubic", True),
        "shrunk to 20x20 and back, nearest": shrunk("nearest", False),
        "enlarged with bicubic": enlarged("bicubic"),
        "enlarged with nearest": enlarged("nearest"),
    }
    changed = {}
    for what, change in tqdm(changes.items(), desc="changes", unit="change"):
        changed[what] = distance(
            torch.cat([features.of(change(part)) for part in xt[order[: a.n]].split(100)])
        )
    row = dict(
        command=shlex.join(["python", *sys.argv]),
        features=features.name,
        features_sha256=features.sha256,
        reference="train",
        seed=0,
        test_images={n: distance(real.ft[order[:n]]) for n in sizes},
        training_images={
            n: distance(real.f[torch.randperm(len(x), generator=g)[:n]]) for n in sizes
        },
        changed_n=a.n,
        changed=changed,
        hardware=f"{os.cpu_count()} CPU cores ({platform.machine()})"
        if not torch.cuda.is_available()
        else torch.cuda.get_device_name(),
        torch=torch.__version__,
        seconds=round(time.time() - start, 1),
    )
    Path(a.out).parent.mkdir(parents=True, exist_ok=True)
    Path(a.out).write_text(json.dumps(row, indent=1) + "\n")
    print(json.dumps(row, indent=1))

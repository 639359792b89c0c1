"""What is measured on *real* images.

Without a checkpoint, what moves FD-EffNetLite0 of real CIFAR-10 images: their number, the split,
JPEG, resizing, the order of the channels, the range of values; chapter 7 draws the result. With
one, the bits per dimension and the ε-MSE of the images that it has not seen, with --bits draws of
the noise for each step t (chapter 4).

usage: python benchmarks/real_images.py [--data data] [--n 2000]
                                        [--out results/cifar10/real_images.json]
       python benchmarks/real_images.py --ckpt CKPT --bits 10 [--data data]
                                        [--out results/cifar10/bits.json]
"""

import argparse
import io
import json
import os
import platform
import shlex
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tqdm import tqdm

from tinydiff.cli import cached, dataset, opened, provenance
from tinydiff.data import cifar10
from tinydiff.ddpm import bits_per_dim
from tinydiff.fid import Moments, efficientnet_lite0, factor, gap
from tinydiff.run import guard, write_text


def to_uint8(x):
    return x.round().clamp(0, 255).to(torch.uint8)


def jpeg(images, quality):
    "Written as JPEG, and read again."
    changed = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
        changed.append(np.array(Image.open(file)))
    return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2)


def shrunk(images, mode, antialias):
    "To 20x20 and back, as a careless or a careful loader would do it."
    small = F.interpolate(images.float(), size=(20, 20), mode=mode, antialias=antialias)
    return to_uint8(F.interpolate(small, size=(32, 32), mode="bicubic"))


def enlarged(images, mode):
    "To the 128x128 of the network, in another way than its own (bilinear)."
    return to_uint8(F.interpolate(images.float(), size=(128, 128), mode=mode))


def gamma(images, power):
    "Each value to a power, as where a display's curve is applied twice or taken off."
    return to_uint8(255 * (images / 255) ** power)


def signed_as_unit(images):
    "Values in [-1, 1], stored as if they were in [0, 1]: the darker half turns black."
    return to_uint8(255 * (images / 127.5 - 1))


def unit_as_signed(images):
    "Values in [0, 1], stored as if they were in [-1, 1]: nothing is darker than gray."
    return to_uint8(127.5 * (images / 255 + 1))


def bgr(images):
    return images.flip(1)


CHANGES = {
    "JPEG, quality 95": partial(jpeg, quality=95),
    "JPEG, quality 75": partial(jpeg, quality=75),
    "shrunk to 20x20 and back, antialiased": partial(shrunk, mode="bicubic", antialias=True),
    "shrunk to 20x20 and back, nearest": partial(shrunk, mode="nearest", antialias=False),
    "enlarged with bicubic": partial(enlarged, mode="bicubic"),
    "enlarged with nearest": partial(enlarged, mode="nearest"),
    "red and blue exchanged": bgr,
    "gamma of 1/2.2 once too often": partial(gamma, power=1 / 2.2),
    "[0, 1] taken for [-1, 1]": unit_as_signed,
    "[-1, 1] taken for [0, 1]": signed_as_unit,
}


def to(reference):
    "The distance of features to those of a reference."
    real = Moments(reference.shape[1]).add(reference)
    A = factor(real.cov)

    def distance(g):
        m = Moments(g.shape[1]).add(g)
        return gap(m.mean, factor(m.cov), real.mean, A)

    return distance


def through(change, images, features):
    "Features of changed images."
    return torch.cat([features.of(change(part)) for part in images.split(100)])


def shrunk_reference(x, f, plain, found, features) -> dict:
    "Images shrunk in either way, where those they are compared with are shrunk with care, too."
    careful, careless = (what for what in found if "shrunk" in what)
    distance = to(through(CHANGES[careful], x, features))
    return {
        "images": len(x),
        "neither side shrunk": to(f)(plain),
        "both antialiased": distance(found[careful]),
        "reference antialiased, the others nearest": distance(found[careless]),
    }


def distances(a, device) -> dict:
    "How far real images are from real images."
    features = efficientnet_lite0(device)
    x, xt = cifar10(a.data)[0], cifar10(a.data, train=False)[0]
    f, ft = cached(features, x), cached(features, xt)
    distance = to(f)

    sizes = [n for n in (250, 500, 1000, 2000, 4000, 10_000) if n <= len(xt)]
    g = torch.Generator().manual_seed(0)
    order = torch.randperm(len(xt), generator=g)
    some, found = xt[order[: a.n]], {}
    for what, change in tqdm(CHANGES.items(), desc="changes", unit="change"):
        found[what] = through(change, some, features)
    changed = {what: distance(g) for what, g in found.items()}
    both = shrunk_reference(x[:10_000], f[:10_000], ft[order[: a.n]], found, features)
    trained = {n: distance(f[torch.randperm(len(x), generator=g)[:n]]) for n in sizes}
    cpu = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    return dict(
        command=shlex.join(["python", *sys.argv]),
        features=features.name,
        features_sha256=features.sha256,
        reference="train",
        seed=0,
        test_images={n: distance(ft[order[:n]]) for n in sizes},
        training_images=trained,
        test_images_apart=[distance(ft[part]) for part in order.split(a.n) if len(part) == a.n],
        changed_n=a.n,
        changed=changed,
        shrunk_reference=both,
        hardware=torch.cuda.get_device_name() if device == "cuda" else cpu,
        torch=torch.__version__,
    )


def bits(a, device) -> dict:
    "What a checkpoint makes of images that it has not seen."
    path, _, model, sched, config = opened(a.ckpt, device)
    config["data"]["dir"] = a.data
    x, y, _ = dataset(config, train=False)
    y = y.to(device) if config["model"]["num_classes"] else None
    row = bits_per_dim(model, sched, x.to(device), y, a.bits, batch=a.batch, seed=0)
    about = provenance(path, model) | dict(network_precision="fp32", seed=0, reference="test")
    return about | dict(command=shlex.join(["python", *sys.argv])) | row


@guard
def main():
    formatter = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    p.add_argument("--data", default="data")
    p.add_argument("--n", type=int, default=2000, help="images for each change")
    p.add_argument("--ckpt", help="measure what this checkpoint makes of them")
    p.add_argument("--bits", type=int, default=1, help="draws of the noise for each step t")
    p.add_argument("--batch", type=int, default=100, help="images at a time, with --ckpt")
    p.add_argument("--out", help="JSON file", type=Path)
    a = p.parse_args()
    if min(a.n - 1, a.bits, a.batch) < 1:
        raise ValueError("--n is at least 2, --bits and --batch at least 1")
    start, device = time.time(), "cuda" if torch.cuda.is_available() else "cpu"
    name = Path(a.ckpt).resolve().name if a.ckpt else "cifar10"
    out = a.out or Path("results") / name / ("bits.json" if a.ckpt else "real_images.json")
    row = bits(a, device) if a.ckpt else distances(a, device)
    row["seconds"] = round(time.time() - start, 1)
    write_text(json.dumps(row, indent=1, allow_nan=False) + "\n", out)
    print(f"all of it is in {out}")


if __name__ == "__main__":
    main()

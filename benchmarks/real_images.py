"""What is measured on *real* images, as JSON.

usage: python benchmarks/real_images.py changes [--n 2000] [--data data]
       python benchmarks/real_images.py bits [--draws 10] [--ckpt checkpoints/cifar10]
       python benchmarks/real_images.py likelihood [--n 300] [--steps 40]
       python benchmarks/real_images.py strength | inpaint | walk [--n 16] [--steps 20]
       python benchmarks/real_images.py invert [--n 8]
       python benchmarks/real_images.py neighbours --samples out/cifar10/dpmpp15_uniform_w1

changes: what moves FD-EffNetLite0 of real CIFAR-10 images: their number, the split, JPEG, resizing,
the order of the channels, the range of values; chapter 7 draws the result, real_images.json.
bits: the bits per dimension and the ε-MSE of the images that a checkpoint has not seen, with so
many draws of the noise for each step t (chapter 4).
likelihood: bits per dimension of some of them, twice: by the ODE of chapter 8, with noise inside
each pixel's bin, and by the bound of chapter 4.
strength, inpaint, invert, walk: what img2img, inpaint, invert and slerp make of photographs with a
trained model (chapter 10): edit_<what>.json, and pictures beside it. For a model of 32x32 the
photographs are the bundled test images of CIFAR-10; for one of 64x64 they are the crops of CelebA
in results/celeba64/neighbours.png, which the model was trained on.
neighbours: the first ten of the samples that eval_fid.py left in a folder, and to the right of each
the five training images with the nearest features, as a picture (chapter 7).

All of it goes to results/<run>/, unless --out names another file.
"""

import argparse
import io
import json
import math
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

import tinydiff as td
from tinydiff.cli import cached, dataset, opened, pick_device, provenance, write_image
from tinydiff.data import cifar10, cifar10_sample, grid, read_image, scan
from tinydiff.ddpm import bits_per_dim
from tinydiff.fid import Moments, efficientnet_lite0, factor, gap, nearest
from tinydiff.run import guard, write_text

BANDS = ((0, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 32))  # of the radius of a frequency

# Distances of real images


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


def distances(a) -> dict:
    "How far real images are from real images."
    device = pick_device("auto")
    features = efficientnet_lite0(device)
    x, xt = (cifar10(a.data or "data", train=train)[0] for train in (True, False))
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
        hardware=torch.cuda.get_device_name() if device.type == "cuda" else cpu,
        torch=torch.__version__,
    )


# What a checkpoint makes of images that it has not seen


def bits(a, model, sched, x, c) -> dict:
    "By the bound of chapter 4."
    found = bits_per_dim(model, sched, x, c, a.draws, batch=a.batch, seed=0)
    return dict(reference="test", seed=0) | found


def by_ode(model, sched, x, c, steps: int, batch: int) -> torch.Tensor:
    "Bits per dimension of each image: chapter 8, Eq. (18)."
    bits, D = [], x[0].numel()
    for i in tqdm(range(0, len(x), batch), f"{steps} steps", unit=f" x {batch} images"):
        g = torch.Generator().manual_seed(1_000_000 + i)  # apart from the dice
        part, label = x[i : i + batch].float(), None if c is None else c[i : i + batch]
        inside = part + torch.rand(part.shape, generator=g).to(part) - 0.5
        x0 = inside / 127.5 - 1
        dice = [torch.Generator().manual_seed(i + k) for k in range(len(part))]
        log_p = td.log_likelihood(model, sched, x0, label, steps, dice)
        bits.append(-(log_p.double().cpu() / D + math.log(2 / 255)) / math.log(2))
    return torch.cat(bits)


def likelihood(a, model, sched, x, c) -> dict:
    "By the ODE of chapter 8, and by the bound of chapter 4."
    some = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[: a.n].to(x.device)
    x, c, few = x[some], None if c is None else c[some], max(2, a.n // 10)
    ode = by_ode(model, sched, x, c, a.steps, a.batch)
    coarse = by_ode(model, sched, x[:few], c if c is None else c[:few], a.steps // 2, a.batch)
    bound = bits_per_dim(model, sched, x, c, per_t=min(20, a.n), seed=0)
    return dict(
        reference="test",
        seed=0,
        images=len(x),
        ode=ode.mean().item(),
        ode_error=ode.std().item() / len(x) ** 0.5,
        coarse_images=few,
        coarse_change=(coarse - ode[:few]).mean().item(),
        bound=bound["bits_per_dim"],
        bound_error=bound["standard_error"],
        bound_decoder=bound["decoder"],
        sigma_1=sched.snr[1].item() ** -0.5,
    )


# What the edits of chapter 10 make of photographs


def dct(x: torch.Tensor) -> torch.Tensor:  # (B, C, n, n)
    "Orthonormal cosine coefficients."
    k = torch.arange(x.shape[-1])
    D = torch.cos(torch.pi * (k + 0.5) * k[:, None] / len(k)) * (2 / len(k)) ** 0.5
    D[0] /= 2**0.5
    return D @ x @ D.T


def radius(n: int) -> torch.Tensor:  # (n, n)
    k = torch.arange(n)
    return (k[:, None] ** 2 + k**2).double().sqrt()


def photographs(size: int, n: int) -> tuple:  # (n, 3, size, size) in [-1, 1]; labels or None
    "Real images that come with the repository, spread over all there are."
    if size == 32:
        x, c, _ = cifar10_sample()
    else:
        sheet = np.array(Image.open("results/celeba64/neighbours.png").convert("RGB"))[1::2, 1::2]
        tiles = sheet[:-1, :-1].reshape(10, 65, 6, 65, 3)[:, 1:, 1:, 1:]  # the first are samples
        x = torch.from_numpy(tiles).permute(0, 2, 4, 1, 3).reshape(50, 3, 64, 64)
        x, c = x.unique(dim=0), None  # one person is there twice
        x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    rows = torch.arange(n) * len(x) // n
    return x[rows].float() / 127.5 - 1, None if c is None else c[rows]


def last(states) -> torch.Tensor:
    return td.sample(states, progress=False)


def strength(a, model, sched, x, c) -> dict:
    "How much of each band of frequencies survives."
    mean, g = x.mean(0), torch.Generator().manual_seed(a.seed)
    before, r = dct(x - mean), radius(x.shape[-1])
    inside = [(r >= low) & (r < high) for low, high in BANDS]
    rows = []
    for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        walk = td.img2img(model, sched, x, share, c, steps=a.steps, clip_x0=True, generator=g)
        after = dct(last(walk) - mean)
        pairs = [(before[..., m].flatten(), after[..., m].flatten()) for m in inside]
        kept = [(u @ v / (u.norm() * v.norm())).item() for u, v in pairs]
        rows.append(dict(strength=share, t=round(share * sched.T), correlation=kept))
    power = [before[..., m].square().mean().item() for m in inside]
    return dict(bands=BANDS, power=power, rows=rows)


def inpaint(a, model, sched, x, c) -> dict:
    "How well the two sides of the seam agree, for several numbers of passes."
    half, shown = x.shape[-1] // 2, []
    mask = torch.arange(x.shape[-1]) < half
    xT = torch.randn(x.shape, generator=torch.Generator().manual_seed(a.seed))

    def steps_across(u, k):  # mean difference between columns k - 1 and k
        return (u[..., k] - u[..., k - 1]).abs().mean().item()

    usual = sum(steps_across(x, k) for k in range(1, half)) / (half - 1)  # in the known half
    rows = [dict(passes=None, seam=steps_across(x, half) / usual)]
    for passes in a.passes:
        g = torch.Generator().manual_seed(a.seed + 1)
        how = dict(steps=a.steps, resample=passes, clip_x0=True, generator=g)
        done = last(td.inpaint(model, sched, xT, x, mask, c, **how))
        rows.append(dict(passes=passes, seam=steps_across(done, half) / usual))
        shown.append(done[:8])
    given = torch.where(mask, x, 1.0)
    write_image(grid(torch.cat([x[:8], given[:8], *shown]), 8), a.out.with_suffix(".png"))
    if c is None:  # one face, eight completions
        many, sheets = x[a.face : a.face + 1].expand(8, -1, -1, -1), []
        for passes in (1, 10):
            g = torch.Generator().manual_seed(a.seed + 1)
            how = dict(steps=a.steps, resample=passes, clip_x0=True, generator=g)
            sheets.append(last(td.inpaint(model, sched, xT[:8], many, mask, **how)))
        two = torch.cat([many[:1], torch.where(mask, many[:1], 1.0)])
        rest = [torch.cat([first[None], sheet]) for first, sheet in zip(two, sheets)]
        write_image(grid(torch.cat(rest), 9), a.out.with_name("edit_eight.png"))
    return dict(known="the left half", passes=a.passes, rows=rows)


def invert(a, model, sched, x, c) -> dict:
    "How far from a photograph the way up and back ends, and what the noise found is like."
    rows, sheet, latent = [], [x[:8]], None
    for w in (1.0,) if c is None else (1.0, 3.0):
        for steps in (10, 20, 40, 80):
            guided = model if c is None else td.cfg(model, w)
            up = last(td.invert(guided, sched, x, c, steps=steps))
            back = last(td.ddim(guided, sched, up, c, steps=steps, clip_x0=False))
            u = up - up.mean((1, 2, 3), keepdim=True)
            near = (u[..., 1:] * u[..., :-1]).mean() / u.square().mean()
            away = (back - x).square().mean((1, 2, 3)).sqrt()
            found = dict(w=w, steps=steps, distance=away.mean().item(), std=up.std().item())
            rows.append(found | dict(neighbours=near.item()))
            sheet += [back[:8]] if w == 1 else []
            latent = up if w == 1 else latent
    write_image(
        grid(torch.cat([*sheet, latent[:8] / 3]), min(8, len(x))), a.out.with_suffix(".png")
    )
    return dict(rows=rows)


def walk(a, model, sched, x, c) -> dict:
    "From one photograph to another through their noises, along the arc and along the line."
    one, two = x[a.face : a.face + 1], x[a.other : a.other + 1]
    noise = last(td.invert(model, sched, torch.cat([one, two]), steps=a.steps))
    ends, lams = noise.split(1), torch.linspace(0, 1, 7).tolist()

    def images(latents):
        return last(td.ddim(model, sched, torch.cat(latents), steps=a.steps, clip_x0=False))

    arc = images([td.slerp(*ends, lam) for lam in lams])
    line = images([torch.lerp(*ends, lam) for lam in lams])
    faded = torch.cat([torch.lerp(one, two, lam) for lam in lams])
    write_image(grid(torch.cat([arc, line, faded]), 7), a.out.with_suffix(".png"))
    smooth = [(1 - np.cos(np.pi * i / 20)) / 2 for i in range(21)]
    frames = images([td.slerp(*ends, float(lam)) for lam in smooth])
    film = [grid(f[None], 1, 3) for f in (*frames, *frames.flip(0)[1:-1])]
    long = dict(duration=[80] * len(film), loop=0)
    write_image(film[0], a.out.with_suffix(".gif"), save_all=True, append_images=film[1:], **long)
    between = [arc[3:4], line[3:4], faded[3:4], one, two]
    away = [(arc[k] - v[0]).square().mean().sqrt().item() for k, v in ((0, one), (-1, two))]
    return dict(
        faces=[a.face, a.other],
        return_distance=away,
        noise_std=[torch.lerp(*ends, 0.5).std().item(), td.slerp(*ends, 0.5).std().item()],
        contrast=dict(
            zip(("arc", "line", "faded", "one", "two"), [v.std().item() for v in between])
        ),
    )


def neighbours(a, config, sha256) -> dict:
    "Samples and the nearest training images."
    note = json.loads((Path(a.samples) / "samples.json").read_text(encoding="utf-8"))
    if note["checkpoint_sha256"] != sha256:
        raise ValueError(f"{a.samples} holds samples of another checkpoint: name it with --ckpt")
    m, f = config["model"], efficientnet_lite0()
    paths, train = scan(Path(a.samples))[0][:10], dataset(config)[0]  # one of each class
    x = [torch.tensor(read_image(path, m["image_size"], m["channels"])) for path in paths]
    x = torch.stack(x)
    far, near = nearest(f.of(x), cached(f, train), 5)
    rows = [torch.cat([one[None], train[i]]) for one, i in zip(x, near)]
    write_image(grid(torch.cat(rows), 6), a.out.with_suffix(".png"))
    return dict(samples=Path(a.samples).name, features=f.name, distances=far.tolist())


EDITS = dict(strength=strength, inpaint=inpaint, invert=invert, walk=walk)
UNSEEN = dict(bits=bits, likelihood=likelihood)
USUAL = dict(  # checkpoint, number of images, steps, batch
    changes=("cifar10", 2000, None, None),
    bits=("cifar10", None, None, 100),
    likelihood=("cifar10", 300, 40, 20),
    strength=("cifar10", 100, 20, None),
    inpaint=("celeba64", 16, 20, None),
    invert=("celeba64", 8, None, None),
    walk=("celeba64", 24, 50, None),
    neighbours=("cifar10", None, None, None),
)
FILES = dict(changes="real_images.json") | {k: f"{k}.json" for k in (*UNSEEN, "neighbours")}


def of_checkpoint(a) -> dict:
    "What is measured with a checkpoint, and on what."
    device = pick_device("cpu" if a.what in EDITS else "auto")
    path, name, model, sched, config = opened(a.ckpt, device)
    a.out = a.out or Path("results") / name / FILES.get(a.what, f"edit_{a.what}.json")
    config["data"]["dir"] = a.data or config["data"]["dir"]
    if a.what in EDITS:
        x, c = photographs(config["model"]["image_size"], a.n)
        if c is None and a.what in ("inpaint", "walk") and a.n <= max(7, a.face, a.other):
            raise ValueError("--n is at least 8, and above --face and --other")
        found = EDITS[a.what](a, model, sched, x, c)
    elif a.what == "neighbours":
        found = neighbours(a, config, provenance(path, model)["checkpoint_sha256"])
    else:
        x, c, _ = dataset(config, train=False)
        c = c.to(device) if config["model"]["num_classes"] else None
        found = UNSEEN[a.what](a, model, sched, x.to(device), c)
    how = {k: getattr(a, k) for k, usual in zip(("n", "steps"), USUAL[a.what][1:3]) if usual}
    how |= {} if a.samples else dict(network_precision="fp32", seed=a.seed)
    how |= {} if a.samples or a.what == "invert" else dict(w=1.0)  # whose rows have their own
    return provenance(path, model) | how | found


@guard
@torch.no_grad()
def main():
    formatter = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    p.add_argument("what", choices=USUAL)
    p.add_argument(
        "--ckpt", help="by default that of CIFAR-10, or of faces to inpaint, invert, walk"
    )
    p.add_argument("--data", help="folder of the data, instead of data.dir")
    p.add_argument("--n", type=int, help="images")
    p.add_argument("--steps", type=int)
    p.add_argument("--draws", type=int, default=10, help="of the noise for each t, of bits")
    p.add_argument("--batch", type=int, help="images at a time")
    p.add_argument("--passes", type=int, nargs="+", default=[1, 2, 5, 10], help="of inpaint")
    p.add_argument("--face", type=int, default=8, help="with eight completions, or where to start")
    p.add_argument("--other", type=int, default=7, help="the photograph to walk to")
    p.add_argument("--samples", help="folder of samples, of neighbours")
    p.add_argument("--seed", type=int, default=0, help="of the edits")
    p.add_argument("--out", help="JSON file", type=Path)
    a = p.parse_args()
    name, n, steps, batch = USUAL[a.what]
    if (a.n and not n) or (a.steps and not steps):
        raise ValueError(f"{a.what} takes no {'--steps' if n or not a.n else '--n'}")
    a.ckpt, a.n = a.ckpt or f"checkpoints/{name}", a.n or n
    a.steps, a.batch = a.steps or steps, a.batch or batch
    if min(a.n or 2, a.steps or 2, a.draws + 1, (a.batch or 1) + 1) < 2:
        raise ValueError("--n and --steps are at least 2, --draws and --batch at least 1")
    if (a.what == "neighbours") != bool(a.samples):
        raise ValueError("--samples names the folder of neighbours, and of nothing else")
    start = time.time()
    if a.what == "changes":
        a.out = a.out or Path("results") / name / FILES[a.what]
    row = distances(a) if a.what == "changes" else of_checkpoint(a)
    row = dict(command=shlex.join(["python", *sys.argv])) | row
    row["seconds"] = round(time.time() - start, 1)
    write_text(json.dumps(row, indent=1, allow_nan=False) + "\n", a.out)
    print(f"all of it is in {a.out}")


if __name__ == "__main__":
    main()

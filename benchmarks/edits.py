"""What img2img, inpaint, invert and slerp make of photographs with a trained model (chapter 10).

usage: python benchmarks/edits.py strength | inpaint | invert | walk
                                   [--ckpt checkpoints/celeba64] [--n 16] [--steps 20]

Each writes results/<run>/edit_<what>.json, and pictures beside it. For a model of 32x32 the
photographs are the bundled test images of CIFAR-10; for one of 64x64 they are the crops of CelebA
in results/celeba64/neighbours.png, which the model was trained on.
"""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import tinydiff as td
from tinydiff.cli import opened, provenance, write_image
from tinydiff.data import cifar10_sample, grid
from tinydiff.run import guard, write_text

BANDS = ((0, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 32))  # of the radius of a frequency


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


def strength(a, model, sched, x, c, out) -> dict:
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


def inpaint(a, model, sched, x, c, out) -> dict:
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
    write_image(grid(torch.cat([x[:8], given[:8], *shown]), 8), out.with_suffix(".png"))
    if c is None:  # one face, eight completions
        many, sheets = x[a.face : a.face + 1].expand(8, -1, -1, -1), []
        for passes in (1, 10):
            g = torch.Generator().manual_seed(a.seed + 1)
            how = dict(steps=a.steps, resample=passes, clip_x0=True, generator=g)
            sheets.append(last(td.inpaint(model, sched, xT[:8], many, mask, **how)))
        two = torch.cat([many[:1], torch.where(mask, many[:1], 1.0)])
        rest = [torch.cat([first[None], sheet]) for first, sheet in zip(two, sheets)]
        write_image(grid(torch.cat(rest), 9), out.with_name("edit_eight.png"))
    return dict(known="the left half", passes=a.passes, rows=rows)


def invert(a, model, sched, x, c, out) -> dict:
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
    write_image(grid(torch.cat([*sheet, latent[:8] / 3]), 8), out.with_suffix(".png"))
    return dict(rows=rows)


def walk(a, model, sched, x, c, out) -> dict:
    "From one photograph to another through their noises, along the arc and along the line."
    one, two = x[a.face : a.face + 1], x[a.other : a.other + 1]
    noise = last(td.invert(model, sched, torch.cat([one, two]), steps=a.steps))
    ends, lams = noise.split(1), torch.linspace(0, 1, 7).tolist()

    def images(latents):
        return last(td.ddim(model, sched, torch.cat(latents), steps=a.steps, clip_x0=False))

    arc = images([td.slerp(*ends, lam) for lam in lams])
    line = images([torch.lerp(*ends, lam) for lam in lams])
    faded = torch.cat([torch.lerp(one, two, lam) for lam in lams])
    write_image(grid(torch.cat([arc, line, faded]), 7), out.with_suffix(".png"))
    smooth = [(1 - np.cos(np.pi * i / 20)) / 2 for i in range(21)]
    frames = images([td.slerp(*ends, float(lam)) for lam in smooth])
    film = [grid(f[None], 1, 3) for f in (*frames, *frames.flip(0)[1:-1])]
    long = dict(duration=[80] * len(film), loop=0)
    write_image(film[0], out.with_suffix(".gif"), save_all=True, append_images=film[1:], **long)
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


WHAT = dict(strength=strength, inpaint=inpaint, invert=invert, walk=walk)
USUAL = dict(  # checkpoint, photographs, steps
    strength=("cifar10", 100, 20),
    inpaint=("celeba64", 16, 20),
    invert=("celeba64", 8, None),
    walk=("celeba64", 24, 50),
)


@guard
@torch.no_grad()
def main():
    formatter = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    p.add_argument("what", choices=WHAT)
    p.add_argument("--ckpt", help="by default that of CIFAR-10 for strength, else that of faces")
    p.add_argument("--n", type=int, help="photographs")
    p.add_argument("--steps", type=int, help="of strength, inpaint and walk")
    p.add_argument("--passes", type=int, nargs="+", default=[1, 2, 5, 10], help="of inpaint")
    p.add_argument("--face", type=int, default=8, help="with eight completions, or where to start")
    p.add_argument("--other", type=int, default=7, help="the photograph to walk to")
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    run, n, steps = USUAL[a.what]
    a.n, a.steps = a.n or n, a.steps or steps
    if a.n < 1:
        raise ValueError("--n is at least 1")
    start, device = time.time(), torch.device("cpu")
    path, name, model, sched, config = opened(a.ckpt or f"checkpoints/{run}", device)
    x, c = photographs(config["model"]["image_size"], a.n)
    out = Path("results") / name / f"edit_{a.what}.json"
    row = WHAT[a.what](a, model, sched, x, c, out)
    about = provenance(path, model) | dict(command=shlex.join(["python", *sys.argv]))
    about |= dict(network_precision="fp32", seed=a.seed, n=a.n, steps=a.steps, w=1.0) | row
    about["seconds"] = round(time.time() - start, 1)
    write_text(json.dumps(about, indent=1, allow_nan=False) + "\n", out)
    print(f"all of it is in {out}")


if __name__ == "__main__":
    main()

"""How few calls suffice: the distance of samples against calls of the denoiser, as JSON.

usage: python benchmarks/few_steps.py                            # all groups, n = 2,000, w = 1
       python benchmarks/few_steps.py --groups main              # every sampler, 5 to 50 calls
       python benchmarks/few_steps.py --n 10000 --seeds 2 --out results/cifar10/finals.json \\
           --try "sampler=dpmpp calls=10 w=2" "sampler=ddim calls=50 w=2"

Groups: main has every sampler of the book at each number of calls; spacings, other levels for ddim
and dpmpp, and the clamp; churn, noise for ddim and heun; guidance, w at all levels and in a band of
noise levels, of equally many calls (a guided call evaluates the network twice, `evaluations` counts
that). A candidate of --try is a string of key=value: sampler, calls, w, low, high (the band), and
options of the sampler. Heun's S steps take 2 S - 1 calls, so of an even number one is not used.

Each row has what `evaluate` finds of --n samples, and of as many unseen photographs ("unseen"),
both against the training images. Each image has its own noise, equal in all rows of a seed. The
file is written after each row; a file that is not complete is continued by the same command.
"""

import argparse
import itertools
import json
import math
import time
from pathlib import Path

import torch
from torch import nn
from trials import begun, drawn, references

from tinydiff import SAMPLERS, cfg_interval, timesteps
from tinydiff.cli import options
from tinydiff.fid import evaluate
from tinydiff.run import write_text

CALLS = (5, 8, 10, 15, 20, 30, 50)


def each(calls, *settings):
    "Every setting at every number of calls, the fewest calls first."
    return [s | dict(calls=n) for n in calls for s in settings]


ddim, heun, dpmpp = (dict(sampler=name) for name in ("ddim", "heun", "dpmpp"))
ddpm = dict(sampler="ddpm", variance="small")
BANDS = [(0, math.inf), (0.2, math.inf), (0, 2), (0.2, 2)]
GROUPS = dict(
    main=each(
        CALLS,
        ddim,
        dpmpp,
        heun,
        ddpm,
        ddim | dict(spacing="logsnr"),
        dpmpp | dict(spacing="quadratic"),
    ),
    spacings=each(
        (10, 20),
        ddim | dict(spacing="uniform"),
        ddim | dict(spacing="karras"),
        dpmpp | dict(spacing="uniform"),
        dpmpp | dict(spacing="karras"),
        dpmpp | dict(clip_x0=True),
        heun | dict(spacing="logsnr"),
    ),
    churn=each(
        (20, 50),
        *(ddim | dict(spacing="logsnr", eta=eta) for eta in (0.3, 0.6, 1.0)),
        *(heun | dict(eta=eta) for eta in (0.3, 0.6, 1.0)),
    ),
    guidance=[
        dpmpp | dict(calls=20, w=w, low=low, high=high)
        for w in (1.5, 2.0, 3.0)
        for low, high in BANDS
    ],
)


def setting_of(words):
    "A candidate of --try as a setting."
    setting = {}
    for word in words.split():
        k, _, value = word.partition("=")
        try:
            setting[k] = json.loads(value.lower())
        except json.JSONDecodeError:
            setting[k] = value
    return setting


def whole(setting):
    "With what it does not say."
    s = dict(w=1.0, low=0.0, high=math.inf) | setting
    s["steps"] = (s["calls"] + 1) // 2 if s["sampler"] == "heun" else s["calls"]
    s["calls"] = 2 * s["steps"] - 1 if s["sampler"] == "heun" else s["steps"]
    return options(SAMPLERS[s["sampler"]]) | dict(clip_x0=s["sampler"] in ("ddim", "ddpm")) | s


def name_of(s):
    "ddim10_logsnr_w1: the sampler, its calls, and all that says how."
    words = [f"{s['sampler']}{s['calls']}"]
    words += [str(s[k]) for k in ("spacing", "variance") if k in s]
    words += [f"eta{s['eta']:g}"] if s.get("eta") else []
    words += ["clip"] if s["clip_x0"] and s["sampler"] == "dpmpp" else []
    band = "" if (s["low"], s["high"]) == (0, math.inf) else f"-{s['low']:g}-{s['high']:g}"
    return "_".join([*words, f"w{s['w']:g}{band}"])


class Guided(nn.Module):
    "The model under guidance in a band, with its device still to be seen."

    def __init__(self, model, sched, s):
        super().__init__()
        self.model, self.guided = model, cfg_interval(model, sched, s["w"], s["low"], s["high"])

    def forward(self, x, t, c=None):
        return self.guided(x, t, c)


def evaluations(sched, s):
    "How often the network is evaluated for an image: twice where guidance asks without the label."
    if s["w"] in (0, 1):
        return s["calls"]
    levels = timesteps(sched, s["steps"], s.get("spacing", "uniform"))[:-1]
    asked = [t for pair in zip(levels, levels[1:] + [0]) for t in pair][:-1]
    asked = asked if s["sampler"] == "heun" else levels
    sigma = sched.snr.rsqrt()
    return s["calls"] + sum(s["low"] < sigma[t].item() <= s["high"] for t in asked)


def measure(a, model, sched, config, s, seed, features, real):
    "One row."
    start = time.time()
    own = ("sampler", "steps", "clip_x0", *options(SAMPLERS[s["sampler"]]))
    plain = {k: s[k] for k in own} | dict(w=1.0)  # the guidance is in the model
    f, y = drawn(Guided(model, sched, s), sched, config, plain, a.n, seed, features, a.batch)
    row = s | dict(high=None if s["high"] == math.inf else s["high"], seed=seed)
    row |= dict(evaluations=evaluations(sched, s)) | evaluate(f, y, real)
    return row | dict(seconds=round(time.time() - start, 1))


def main(a):
    "Measure what is still missing in the file."
    torch.set_num_threads(a.threads)
    model, sched, config, device, head, rows = begun(a)
    head |= dict(threads=a.threads)
    settings = [setting_of(words) for words in a.candidates]
    settings += [s for g in a.groups for s in GROUPS[g]] if not settings else []
    features, real = references(config, device)
    done = {(row["setting"], row["seed"]) for row in rows}
    for seed, setting in itertools.product(range(a.seeds), settings):
        s = whole(setting)
        if (name_of(s), seed) in done:
            continue
        row = head | dict(setting=name_of(s))
        row |= measure(a, model, sched, config, s, seed, features, real)
        rows.append(row)
        done.add((name_of(s), seed))
        write_text(json.dumps(rows, indent=1) + "\n", a.out)
        told = f"distance {row['distance']:.1f} ({row['unseen']['distance']:.1f} of photographs)"
        print(f"{row['setting']}, seed {seed}: {told}, {row['seconds']:.0f} s", flush=True)


def arguments():
    formatter = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    p.add_argument("--ckpt", default="checkpoints/cifar10")
    p.add_argument("--data", help="folder of the data, instead of data.dir")
    p.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    p.add_argument("--try", nargs="+", default=[], dest="candidates", metavar="CANDIDATE")
    p.add_argument("--seeds", type=int, default=1)
    p.add_argument("--n", type=int, default=2000, help="samples")
    p.add_argument("--batch", type=int, default=100, help="samples at a time")
    p.add_argument("--threads", type=int, default=torch.get_num_threads())
    p.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    p.add_argument("--out", type=Path, default=Path("results/cifar10/few_steps.json"))
    a = p.parse_args()
    if a.device == "auto":
        a.device = "cuda" if torch.cuda.is_available() else "cpu"
    return a


if __name__ == "__main__":
    main(arguments())

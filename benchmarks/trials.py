"""Trials, as JSON: recipes and networks trained from nothing, or ways to sample from one model.

usage: python benchmarks/trials.py --config configs/cifar10-cpu.yaml --images 12800 \\
           --try "" "train.optimizer=adam train.lr=2e-3" --out results/trials/optimizers.json
       python benchmarks/trials.py --config configs/cifar10-cpu.yaml --minutes 20 \\
           --try "model.ch=32" "model.ch=48" --out results/trials/networks.json
       python benchmarks/trials.py --sweep few --seeds 1 --out results/cifar10/few_steps.json
       python benchmarks/trials.py --sweep guidance --out results/cifar10/guidance.json
       python benchmarks/trials.py --sweep weak --weak checkpoints/cifar10-weak \\
           --out results/cifar10/weak.json
       python benchmarks/trials.py --config configs/copies.yaml --images 100000 --n 200 \\
           --copies 10 100 1000 10000 --out results/copies/copies.json
       python benchmarks/trials.py --ckpt checkpoints/cifar10 --n 10000 \\
           --try "sampler=dpmpp calls=10 w=2" "sampler=ddim calls=50" --out finals.json

With --config each candidate of --try is trained: a string of section.key=value with spaces between
them, which may also name how t is drawn in place of uniform: draw=normal, or
draw=normal:MEAN:STD of the log-SNR (short for train.levels, snr_mean and snr_std), or draw=laplace,
which no recipe has; all are stratified. weight=uniform and weight=normal[:MEAN:STD] weigh each loss
by how often that draw has its level, over how often the one in use has it (at most 10): the loss
of the one with the draw of the other. cut=skips and cut=time train the network without its skip
connections, or with t = 1 always. With --images every candidate sees as many images; with --minutes
each gets as many minutes of its process (on a CPU those that it computes, so that what runs beside
it takes nothing from it; on a GPU those of the clock), and the number of images follows from the
speed of a few steps.

Each run is scored on unseen images: the loss at fixed t and noise, its mean and that of each
quartile of t; with --bits the bits per dimension, at one noise for each t; and for --n samples of
the first average, drawn with --steps of DDIM at w = 1, the Frechet distance of
EfficientNet-Lite0's features from the training images and the share that a probe on these
features finds in the right class. --grids writes some samples to PNG files, of the first seed or of
each checkpoint of --score. --every-ema scores all averages of train.ema. Losses of eps, x0 and v,
or of different schedules, are not to be compared; distances and bits are. With --under each network
is also asked at the levels of these schedules, whichever it was trained with: what counts is the
signal-to-noise ratio, so it is told the step of its own schedule whose ratio is nearest. Samples
are then drawn with --steps evenly spaced in t of each, and the squared error of the noise is
measured at equal ratios (chapter 0). Runs go to processes of --threads threads, --jobs at once.

With --sweep, or without --config, one checkpoint is sampled from in many ways: those of --try, each
a string of key=value: sampler, calls, w, low, high (guidance only where the noise level sigma is in
that band) and options of the sampler; or those of --sweep: guidance (w), samplers (steps, eta and
spacing of DDIM and DDPM), few (every sampler of the book at 5 to 50 calls), spacings (the levels,
and the clamp of dpmpp), churn (noise for ddim), band (guidance at all levels and in a band), weak
(guidance away from the network of --weak, which is told the label, or blind to it). A guided call
evaluates the network twice; `evaluations` counts that, and `weak_evaluations` those of the weak
network. Heun's S steps take 2 S - 1 calls, so of an even number one is not used. A row has what
`evaluate` finds of --n samples, and of as many unseen photographs ("unseen"), both against the
training images. Each image has its own noise, equal in all rows of a seed.

With --score the checkpoints of one run, or of runs of several lengths, are scored as trials are.
--precision says in what the network multiplies while it draws (not with --under, nor for --grids,
whose samples take 50 steps: these are in float32).

With --copies the network of --config is trained, for --images images each, on so many images of its
data, and on two halves of them that share none; each draws from the same --n noises. What is
measured: the loss on its own images and on 1,000 that no network has seen; how far a sample is from
the nearest of its own images and from the nearest of as many others; the share of samples that are
three times nearer to one of its images than to any other; the same of --n unseen images in the
place of samples; and how alike each network and the one of the other half draw. The denoiser that
is exact for the images alone draws, too. Samples are kept beside the file, and a few of them as
pictures with their nearest training images.

A file that is not complete is continued by the command that began it.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import math
import multiprocessing
import os
import platform
import shlex
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import torch

from tinydiff import SAMPLERS, UNet, cfg_interval, ddim, diffusion_loss, load, sample, timesteps
from tinydiff.cli import cached, dataset, options
from tinydiff.data import cifar10_sample, grid, to_uint8
from tinydiff.ddpm import bits_per_dim
from tinydiff.fid import Real, efficientnet_lite0, evaluate
from tinydiff.forward import q_sample, x0_to_eps
from tinydiff.run import find, guard, read_config, train_run, write_text
from tinydiff.schedule import make_schedule, schedules
from tinydiff.train import strata, stratified_t, use_bf16
from tinydiff.unet import flops

torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32

CALLS = (5, 8, 10, 15, 20, 30, 50)
RATIOS = [8.0 - k for k in range(17)]  # log-SNR, from hardly any noise to almost nothing else


def each(calls, *settings):
    "Every setting at every number of calls, the fewest calls first."
    return [s | dict(calls=n) for n in calls for s in settings]


def named(name, **more):
    return dict(sampler=name) | more


SWEEPS = dict(
    guidance=[
        named("dpmpp", spacing="uniform", calls=15, w=w)
        for w in (0.0, 0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0, 5.0, 8.0)
    ],
    samplers=each(
        (5, 10, 20, 50),
        *(
            named("ddim", eta=eta, spacing=s)
            for eta in (0.0, 1.0)
            for s in ("quadratic", "uniform")
        ),
        named("ddpm", variance="large"),
    ),
    few=each(
        CALLS,
        named("dpmpp", spacing="uniform"),
        named("ddim", spacing="uniform"),
        named("ddim"),
        named("heun", spacing="uniform"),
        named("ddpm", variance="small"),
    ),
    spacings=each(
        (10,),
        *(
            named(sampler, spacing=spacing)
            for sampler in ("ddim", "dpmpp", "heun")
            for spacing in ("uniform", "quadratic", "logsnr", "karras")
        ),
        named("dpmpp", spacing="uniform", clip_x0=True),
    ),
    churn=each(
        (20,),
        *(named("ddim", spacing="uniform", eta=eta) for eta in (0.0, 0.3, 0.6, 1.0)),
    ),
    band=[
        named("dpmpp", spacing="uniform", calls=15, w=w, low=low, high=high)
        for w in (1.5, 2.0)
        for low, high in [(0, math.inf), (0.2, math.inf), (0, 2), (0.2, 2)]
    ],
    weak=[
        named("dpmpp", spacing="uniform", calls=15, w=w, weak=how)
        for how in ("told", "blind")
        for w in (1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
    ],
)


# What is measured


def in_precision(model, bf16):
    def plain(x, t, c=None):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            return model(x, t, c).to(x.dtype)

    return plain


def guided(model, sched, s, bf16, weak=None):
    "The model under guidance in a band, or away from a weak one, computed in this precision."
    plain = in_precision(model, bf16)
    if "weak" not in s:
        banded = cfg_interval(plain, sched, s["w"], s["low"], s["high"])
        return lambda x, t, c=None: plain(x, t) if c is None else banded(x, t, c)
    other = in_precision(weak, bf16)

    def leaning(x, t, c=None):
        eps = other(x, t, c if c is None or s["weak"] == "told" else torch.full_like(c, -1))
        return eps + s["w"] * (plain(x, t, c) - eps)

    return leaning


def whole(setting):
    "A way to sample, with what it does not say."
    s = dict(w=1.0, low=0.0, high=math.inf) | setting
    known = {"sampler", "calls", "w", "low", "high", "clip_x0", *options(SAMPLERS[s["sampler"]])}
    if unknown := set(s) - known - {"weak"}:
        raise ValueError(f"{s['sampler']} has no option {min(unknown)}")
    if s.get("weak", "told") not in ("told", "blind"):
        raise ValueError(f"weak is told or blind, not {s['weak']!r}")
    if "weak" in s and (s["low"], s["high"]) != (0, math.inf):
        raise ValueError("weak takes no band: leave out low and high")
    s["steps"] = (s["calls"] + 1) // 2 if s["sampler"] == "heun" else s["calls"]
    s["calls"] = 2 * s["steps"] - 1 if s["sampler"] == "heun" else s["steps"]
    return options(SAMPLERS[s["sampler"]]) | dict(clip_x0=s["sampler"] in ("ddim", "ddpm")) | s


def drawn(model, sched, config, s, n, seed, features, bf16=False, weak=None, batch=100):
    "Features (n, d) of samples, and their classes in turn (n,) or None."
    m, device = config["model"], next(model.parameters()).device
    shape, K = (m["channels"], m["image_size"], m["image_size"]), m["num_classes"]
    how = {k: s[k] for k in ("steps", "clip_x0", *options(SAMPLERS[s["sampler"]]))}
    denoiser = guided(model, sched, s, bf16, weak)
    found, y = [], torch.arange(n) % K if K else None
    for part in torch.arange(n).split(batch):
        seeds = [(seed * 1_000_003 + i) % 2**32 for i in part.tolist()]
        noise = [torch.Generator().manual_seed(s) for s in seeds]  # each image's own
        xT = torch.stack([torch.randn(shape, generator=g) for g in noise]).to(device)
        c = y[part].to(device) if K else None
        steps = SAMPLERS[s["sampler"]](denoiser, sched, xT, c, generator=noise, **how)
        found.append(features.of(to_uint8(sample(steps, progress=False))))
    return torch.cat(found), y


@cache
def reference(data, device):
    "Features of the real images, for all runs of a process that have the same data (JSON)."
    config, features = json.loads(data), efficientnet_lite0(device)
    x, y, _ = dataset(config)
    xt, yt, _ = dataset(config, train=False)
    f, ft = cached(features, x), cached(features, xt)
    return features, Real(f, y, ft, yt, config["model"]["num_classes"])


def references(config, device):
    "The same from a whole config."
    shape = {k: config["model"][k] for k in ("image_size", "channels", "num_classes")}
    return reference(json.dumps(dict(data=config["data"], model=shape)), device)


def unseen(config):
    "The images of data.holdout, or 1,000 test images of CIFAR-10, and their labels."
    x, y, _ = dataset(config, train=False) if config["data"].get("holdout") else cifar10_sample()
    return x[:], y


@torch.no_grad()
def held_out(model, sched, config, x, y):
    "The loss on unseen images at fixed t and noise: the mean, and that of each quartile of t."
    g, device = torch.Generator().manual_seed(0), next(model.parameters()).device
    t = torch.randperm(len(x), generator=g) * sched.T // len(x) + 1
    eps = torch.randn(x.shape, generator=g)
    predict, loss = config["train"]["predict"], []
    for rows in torch.arange(len(x)).split(100):
        x0 = x[rows].to(device).float() / 127.5 - 1
        c = y[rows].to(device) if config["model"]["num_classes"] else None
        noise = t[rows].to(device), eps[rows].to(device)
        loss.append(diffusion_loss(model.net, sched, x0, *noise, c, predict).cpu())
    loss, quarter = torch.cat(loss), (t - 1) * 4 // sched.T
    return [loss.mean().item(), *(loss[quarter == q].mean().item() for q in range(4))]


def nearest_ratio(sched, snr):
    "The steps 1..T of a schedule whose signal-to-noise ratio is nearest to these (k,), in its log."
    return (sched.snr[1:].log() - snr.log()[:, None]).abs().argmin(1) + 1


class Renamed(torch.nn.Module):
    "A denoiser for the levels of another schedule."

    def __init__(self, model, own, other):
        super().__init__()
        self.model = model
        self.steps = torch.cat([torch.zeros(1).long(), nearest_ratio(own, other.snr[1:])])

    def forward(self, x, t, c=None):
        return self.model(x, self.steps[t], c)


@torch.no_grad()
def by_ratio(model, sched, x, c):
    "The squared error of the noise in unseen images, at each log-SNR of RATIOS."
    g, found = torch.Generator().manual_seed(0), []
    eps = torch.randn(x.shape, generator=g)
    for t in nearest_ratio(sched, torch.tensor(RATIOS).double().exp()).tolist():
        errors = []
        for rows in torch.arange(len(x)).split(100):
            x0, noise = x[rows].float() / 127.5 - 1, eps[rows]
            steps = torch.full((len(rows),), t)
            xt = q_sample(sched, x0, steps, noise)
            errors.append((model(xt, steps, None if c is None else c[rows]) - noise).square())
        found.append(torch.cat(errors).mean().item())
    return found


def under(model, sched, config, a, features, real, x, c):
    "The distance of samples drawn at the levels of each schedule of --under, and the errors."
    found, setting = {}, whole(named("ddim", calls=a.steps, spacing="uniform"))
    for name in a.under:
        other = make_schedule(name)
        f, y = drawn(Renamed(model, sched, other), other, config, setting, a.n, 0, features)
        found[name] = evaluate(f, y, real)["distance"]
    return dict(under=found, log_snr=RATIOS, eps_mse_at=by_ratio(model, sched, x, c))


def score(src, a, device, data_config):
    "Held-out loss, distance and, where they are wanted, bits of one checkpoint."
    model, sched, config = load(src, device)
    features, real = references(data_config, device)
    xt, yt = unseen(data_config)
    labels = yt if config["model"]["num_classes"] else None
    floor = real.measure(real.ft[: a.n], None)["distance"]
    found = dict(held_out=held_out(model, sched, config, xt, yt), floor=floor)
    if a.under:
        return found | under(model, sched, config, a, features, real, xt, labels)
    how, bf16 = whole(named("ddim", calls=a.steps)), use_bf16(a.precision, device)
    f, y = drawn(model, sched, config, how, a.n, 0, features, bf16)
    row = evaluate(f, y, real)
    found.update(distance=row["distance"], class_accuracy=row.get("class_accuracy"))
    found.update(network_precision="bf16" if bf16 else "fp32")
    if a.bits:
        c = None if labels is None else labels.to(device)
        bits = bits_per_dim(model, sched, xt.to(device), c, 1, progress=False)
        found.update(bits_per_dim=bits["bits_per_dim"], eps_mse=bits["eps_mse"])
    return found


def draw_some(src, device, path):
    "A grid of 40 samples, classes in turn, with 50 steps of DDIM at w = 1."
    model, sched, config = load(src, device)
    m = config["model"]
    c = torch.arange(40) % K if (K := m["num_classes"]) else None
    shape = 40, m["channels"], m["image_size"], m["image_size"]
    xT = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    steps = ddim(model, sched, xT.to(device), None if c is None else c.to(device), steps=50)
    path.parent.mkdir(parents=True, exist_ok=True)
    grid(sample(steps, progress=False), 10).save(path)


# Candidates that are trained


def laplace_t(sched, B, T, device=None):
    "B levels with log-SNR by Laplace (0, 0.5), stratified; the best of Hang and others (2024)."
    rising = -sched.snr[1:].log()  # over t
    up_to = torch.distributions.Laplace(0.0, 0.5).cdf(rising)  # the density is even
    return (torch.searchsorted(up_to, strata(B).double()).clamp(max=T - 1) + 1).to(device)


class NoSkips(UNet):
    "Blocks on the way up see zeros in place of what came from the way down."

    def forward(self, x, t, c=None):
        def blind(block, args):
            h, emb = args
            kept = h.shape[1] - block.res.conv2.out_channels
            return torch.cat([h[:, :kept], torch.zeros_like(h[:, kept:])], 1), emb

        hooks = [b.register_forward_pre_hook(blind) for level in self.ups for b in level]
        try:
            return super().forward(x, t, c)
        finally:
            for hook in hooks:
                hook.remove()


class NoTime(UNet):
    "The network is not told how noisy its input is."

    def forward(self, x, t, c=None):
        return super().forward(x, torch.ones_like(t), c)


CUTS = dict(skips=NoSkips, time=NoTime)


def shares(sched, levels, mean, std):
    "The probability of each level t = 1..T under a draw of a recipe."
    if levels == "uniform":
        return torch.full((sched.T,), 1 / sched.T, dtype=torch.float64)
    up_to = torch.special.ndtr((mean - sched.snr[1:].log()) / std)  # as normal_t
    up_to[-1] = 1
    return up_to.diff(prepend=up_to.new_zeros(1))


def reweighted(config, weight):
    'The loss of another draw, "uniform" or "normal[:MEAN:STD]", with the draw of this config.'
    sched, r = make_schedule(**config["schedule"]), config["train"]
    levels, mean, std = [*weight.split(":"), 2.4, 2.4][:3]
    drawn = shares(sched, r["levels"], r["snr_mean"], r["snr_std"])
    factor = (shares(sched, levels, float(mean), float(std)) / drawn).clamp(max=10)

    def loss(net, sched, x0, t, *rest):
        return diffusion_loss(net, sched, x0, t, *rest) * factor.to(x0)[t - 1]

    return loss


def parse(candidate):
    "Its sections' keys, whether t is drawn by Laplace, the class of network, and a weight or None."
    words, laplace, network, weight = [], False, UNet, None
    for word in candidate.split():
        if word == "draw=laplace":
            laplace = True
            words.append("train.levels=uniform")  # in whose place it comes
        elif word.startswith("cut="):
            if word[4:] not in CUTS:
                raise ValueError(f"cut is {' or '.join(CUTS)}, not {word[4:]!r}")
            network = CUTS[word[4:]]
        elif word.startswith("weight="):
            weight = word[7:]
        elif word.startswith("draw=normal"):
            _, *numbers = word.split(":")
            words.append("train.levels=normal")
            words += [f"train.{k}={v}" for k, v in zip(("snr_mean", "snr_std"), numbers)]
        else:
            words.append(word)
    if weight and (laplace or weight.split(":")[0] not in ("uniform", "normal")):
        raise ValueError("weight is uniform or normal[:MEAN:STD], and knows no draw=laplace")
    return words, laplace, network, weight


def clock(device):
    "Seconds of this process's own work."
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def trained(config, images, x, y, out, device, draw_t=stratified_t):
    "Train from nothing; returns the seconds that it took, of work and of the wall."
    r = config["train"] | dict(images=images, save=images, log=max(1, images // 10))
    start, wall = clock(device), time.time()
    with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
        with patch("tinydiff.train.stratified_t", draw_t):
            stop = train_run(config | dict(train=r), x, y, out, device=device)
    if stop:  # a run that was cut off is no trial
        sys.exit(128 + stop)
    return clock(device) - start, time.time() - wall


def affordable(config, x, y, device, minutes):
    "How many images a run of so many minutes may see: from what fifty steps more take."
    batch, taken = config["train"]["batch"], []
    for steps in (2, 2, 52):  # the first one compiles
        with tempfile.TemporaryDirectory() as out:
            taken.append(trained(config, steps * batch, x, y, out, device)[0])
    step = (taken[2] - taken[1]) / 50
    return max(1, int(minutes * 60 / step)) * batch


def run(a, candidate, seed):
    "Train and score one candidate with one seed."
    torch.set_num_threads(a.threads)
    torch.compiler.reset()  # else many networks in one process are too many for torch.compile
    device, (sets, laplace, network, weight) = torch.device(a.device), parse(candidate)
    config = read_config(a.config, a.set + sets + [f"train.seed={seed}"])
    x, y, _ = dataset(config)
    references(config, device)  # what is missing is missed before the training
    images = a.images or affordable(config, x, y, device, a.minutes)
    draw_t = partial(laplace_t, make_schedule(**config["schedule"])) if laplace else stratified_t
    loss = reweighted(config, weight) if weight else diffusion_loss
    halves = config["train"]["ema"]
    names = ["ema.pt", *(f"ema-{h}.pt" for h in halves[1:])]
    count = len(halves) if a.every_ema else 1
    with tempfile.TemporaryDirectory() as out, patch("tinydiff.run.UNet", network):
        with patch("tinydiff.train.diffusion_loss", loss):
            seconds, wall = trained(config, images, x, y, out, device, draw_t)
        kept = list(zip(halves, names))[:count]
        scores = {str(h): score(Path(out) / name, a, device, config) for h, name in kept}
        if a.grids and seed == 0:
            draw_some(Path(out) / "ema.pt", device, a.grids / f"{candidate or 'as it is'}.png")
    net = UNet(**config["model"])
    return dict(
        candidate=candidate,
        seed=seed,
        images=-(-images // config["train"]["batch"]) * config["train"]["batch"],
        seconds=round(seconds, 1),
        wall_seconds=round(wall, 1),
        parameters=sum(p.numel() for p in net.parameters()),
        training_gflop_per_image=3 * flops(net) / 1e9,
        scores=scores,
    )


def table(rows):
    "One line a candidate: means over its seeds, best distance first."
    lines = {}
    for row in rows:
        for half, s in row["scores"].items():
            key = row["candidate"] or "as it is"
            key += f", ema {half}" if len(row["scores"]) > 1 else ""
            more = s["held_out"][0], s.get("class_accuracy") or 0, row["images"]
            for name, distance in s.get("under", {"": s.get("distance")}).items():
                asked = f", drawn at {name} levels" * bool(name)
                lines.setdefault(key + asked, []).append((distance, *more))
    means = {key: [sum(v) / len(v) for v in zip(*values)] for key, values in lines.items()}
    print(f"{'candidate':60} seeds  distance  held-out  class accuracy   images")
    for key, (distance, loss, accuracy, images) in sorted(means.items(), key=lambda kv: kv[1]):
        numbers = f"{distance:9.1f} {loss:9.4f} {accuracy:15.3f} {images:8,.0f}"
        print(f"{key:60} {len(lines[key]):5} {numbers}")


def about(a):
    "Command, hardware and version."
    words = [w for w in sys.argv if w not in (a.data, "--data")]
    cpu = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    return dict(
        command=shlex.join(["python", *words]),
        hardware=torch.cuda.get_device_name() if a.device == "cuda" else cpu,
        torch=torch.__version__,
        features="FD-EffNetLite0",
    )


def compare(a):
    "Train what is still missing in the file."
    base = read_config(a.config, a.set)  # the file stands for itself, whatever becomes of it
    base["data"].pop("dir")
    bf16 = use_bf16(base["train"]["precision"], torch.device(a.device))
    settings = dict(
        base=base,
        under=a.under,
        bits=a.bits,
        budget=dict(images=a.images, minutes=a.minutes),
        n=a.n,
        sampler="ddim",
        steps=a.steps,
        w=1.0,
        config=Path(a.config).name,
        set=list(a.set),
        threads=a.threads,
        every_ema=a.every_ema,
        training_precision="bf16" if bf16 else "fp32",
    )
    a.set += [f"data.dir={a.data}"] if a.data else []
    old = json.loads(a.out.read_text(encoding="utf-8")) if a.out.exists() else dict(rows=[])
    if any(old.get(k, v) != v for k, v in settings.items()):
        sys.exit(f"error: {a.out} holds other trials: name another file with --out")
    rows = old["rows"]
    done = {(row["candidate"], row["seed"]) for row in rows}
    for candidate in a.candidates:
        read_config(a.config, a.set + parse(candidate)[0])
    todo = [(c, s) for s in range(a.seeds) for c in a.candidates if (c, s) not in done]
    head = about(a) | settings
    for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(k, str(a.threads))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(a.jobs, spawn) as pool, contextlib.ExitStack() as end:
        end.callback(pool.shutdown, cancel_futures=True)  # after Ctrl-C nothing more begins
        futures = {pool.submit(run, a, *what): what for what in todo}
        for future in as_completed(futures):
            what = futures[future]
            try:
                rows.append(future.result())
            except (ValueError, ArithmeticError, RuntimeError, OSError) as e:
                print(f"failed: {what}: {e}", file=sys.stderr, flush=True)
                continue
            write_text(json.dumps(head | dict(rows=rows), indent=1) + "\n", a.out)
            print(f"{len(rows)} of {len(done) + len(todo)}: {json.dumps(rows[-1])}", flush=True)
    table(rows)
    return len(rows) < len(done) + len(todo)


# Ways to sample from one model


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


def name_of(s):
    "ddim10_logsnr_w1: the sampler, its calls, and all that says how."
    words = [f"{s['sampler']}{s['calls']}"]
    words += [str(s[k]) for k in ("spacing", "variance") if k in s]
    words += [f"eta{s['eta']:g}"] if s.get("eta") else []
    if s["clip_x0"] != (s["sampler"] in ("ddim", "ddpm")):
        words.append("clip" if s["clip_x0"] else "free")
    words += [s["weak"]] if "weak" in s else []
    band = "" if (s["low"], s["high"]) == (0, math.inf) else f"-{s['low']:g}-{s['high']:g}"
    return "_".join([*words, f"w{s['w']:g}{band}"])


def digest(model):
    "A hash of its weights."
    weights = b"".join(v.cpu().numpy().tobytes() for v in model.state_dict().values())
    return hashlib.sha256(weights).hexdigest()


def begun(a):
    "The model of --ckpt, the device, what heads each row, and the rows that --out already holds."
    device = torch.device(a.device)
    model, sched, config = load(a.ckpt, device)
    config["data"]["dir"] = a.data or config["data"].get("dir", "data")
    head = about(a) | dict(
        checkpoint=Path(a.ckpt).name,
        weights_sha256=digest(model),
        parameters=sum(p.numel() for p in model.parameters()),
        network_precision="bf16" if use_bf16(a.precision, device) else "fp32",
        reference="train",
        threads=a.threads,
    )
    rows = json.loads(a.out.read_text(encoding="utf-8")) if a.out.exists() else []
    same = dict(n=a.n) | {k: head[k] for k in ("weights_sha256", "network_precision")}
    if any(row.get(k) != v for row in rows for k, v in same.items()):
        sys.exit(f"error: {a.out} is of another {' or '.join(same)}: name another file with --out")
    return model, sched, config, device, head, rows


def weak_model(a, settings, sched):
    "The network of --weak, and what heads each row on it."
    if not a.weak and any("weak" in s for s in settings):
        raise ValueError("a setting leans away from a worse network: name one with --weak")
    if not a.weak:
        return None, {}
    weak, other, _ = load(a.weak, torch.device(a.device))
    if not other.alpha_bar.equal(sched.alpha_bar):
        raise ValueError(f"{a.weak} has another schedule than {a.ckpt}: both must agree")
    size = sum(p.numel() for p in weak.parameters())
    seen = find(a.weak)[2]
    head = dict(weak_checkpoint=Path(a.weak).name, weak_weights_sha256=digest(weak))
    return weak, head | dict(weak_parameters=size, weak_images=seen)


def evaluations(sched, s):
    "How often the network is evaluated for an image: twice where guidance asks without the label."
    if s["w"] in (0, 1) or "weak" in s:
        return s["calls"]
    levels = timesteps(sched, s["steps"], s.get("spacing", "uniform"))[:-1]
    asked = [t for pair in zip(levels, levels[1:] + [0]) for t in pair][:-1]
    asked = asked if s["sampler"] == "heun" else levels
    sigma = sched.snr.rsqrt()
    return s["calls"] + sum(s["low"] < sigma[t].item() <= s["high"] for t in asked)


def sweep(a):
    "Sample and score what is still missing in the file."
    torch.set_num_threads(a.threads)
    model, sched, config, device, head, rows = begun(a)
    settings = [s for name in a.sweep for s in SWEEPS[name]] or map(setting_of, a.candidates)
    settings = list(map(whole, settings))
    weak, of_weak = weak_model(a, settings, sched)
    if any(row.get(k, v) != v for row in rows for k, v in of_weak.items()):
        sys.exit(f"error: {a.out} has another weak network: name another file with --out")
    features, real = references(config, device)
    floor = real.measure(real.ft[: a.n], real.accuracy(real.ft, real.yt))
    real.ft = None  # it is the same in all rows
    done = {(row["setting"], row["seed"]) for row in rows}
    for seed, s in itertools.product(range(a.seeds), settings):
        name, start = name_of(s), time.time()
        if (name, seed) in done:
            continue
        bf16 = head["network_precision"] == "bf16"
        f, y = drawn(model, sched, config, s, a.n, seed, features, bf16, weak)
        said = s | dict(high=None if s["high"] == math.inf else s["high"], seed=seed)
        row = head | dict(setting=name) | said | dict(evaluations=evaluations(sched, s))
        row |= of_weak | dict(weak_evaluations=s["calls"]) if "weak" in s else {}
        row |= evaluate(f, y, real) | dict(unseen=floor)
        rows.append(row | dict(seconds=round(time.time() - start, 1)))
        done.add((name, seed))
        write_text(json.dumps(rows, indent=1) + "\n", a.out)
        told = f"distance {rows[-1]['distance']:.1f} ({rows[-1]['unseen']['distance']:.1f})"
        print(f"{name}, seed {seed}: {told}, {rows[-1]['seconds']:.0f} s", flush=True)


# One run as it goes on


def curve(a):
    "Score the checkpoints of one run that are still missing in the file."
    torch.set_num_threads(a.threads)
    rows = json.loads(a.out.read_text(encoding="utf-8")) if a.out.exists() else []
    if any((row["n"], row["steps"]) != (a.n, a.steps) for row in rows):
        sys.exit(f"error: {a.out} has other --n or --steps: name another file with --out")
    done = {(row["checkpoint"], row["images"]): row.get("weights_sha256") for row in rows}
    for src in a.score:
        config, _, images = find(src)
        key, sha256 = (Path(src).name, images), digest(load(src)[0])
        if done.get(key) not in (None, sha256):
            sys.exit(f"error: {a.out} has {key} with other weights: name another file with --out")
        if key in done:
            continue
        config["data"]["dir"] = a.data or config["data"].get("dir", "data")
        row = about(a) | dict(checkpoint=Path(src).name, images=images, n=a.n)
        row |= dict(weights_sha256=sha256)
        train, how = config["train"], dict(sampler="ddim", steps=a.steps, w=1.0)
        row |= dict(planned=train["images"], batch=train["batch"]) | how
        if a.grids:
            draw_some(src, torch.device(a.device), a.grids / f"{images}.png")
        rows.append(row | score(src, a, torch.device(a.device), config))
        rows.sort(key=lambda r: r["images"])
        write_text(json.dumps(rows, indent=1) + "\n", a.out)
        print(f"{images:,} images: {json.dumps(rows[-1])}", flush=True)


# Does it copy?

UNSEEN = 1000  # images that no network is trained on
SHOWN = 5  # samples in a picture; few, as training images stand beside them


def draw_all(model, sched, xT, steps, batch=100):
    "Samples from these noises."
    return torch.cat([sample(ddim(model, sched, x, None, steps), False) for x in xT.split(batch)])


def near(samples, images, batch=20):
    "The two least distances of each sample (n, 2), roots of mean squares, and the nearest image."
    found = []
    for part in samples.flatten(1).split(batch):
        d = torch.cdist(part, images.flatten(1)) / part.shape[1] ** 0.5
        found.append(d.topk(2, largest=False))
    return torch.cat([f.values for f in found]), torch.cat([f.indices[:, 0] for f in found])


def as_floats(x):
    return x[:].float() / 127.5 - 1


def judged(samples, own, others):
    "Distances to images that were seen and to as many that were not, and the share of copies."
    d, e = (near(samples, as_floats(part))[0] for part in (own, others))
    return dict(
        nearest_own=d[:, 0].mean().item(),
        nearest_other=e[:, 0].mean().item(),
        own_is_nearer=(d[:, 0] < e[:, 0]).float().mean().item(),
        copies=(3 * d[:, 0] < d[:, 1]).float().mean().item(),
    )


def parts_of(count, sizes):
    "For each network its images and as many others, as places in a shuffled list."
    half = (count - UNSEEN) // 2
    one, two = range(UNSEEN, UNSEEN + half), range(UNSEEN + half, UNSEEN + 2 * half)
    parts = {str(n): (one[:n], two[:n]) for n in sizes}
    return parts | {"one half": (one, two), "the other half": (two, one)}


def one_network(config, own, others, unseen, seed, xT, a):
    "Train on some images; a row of what is measured, and the samples."
    config = config | dict(train=config["train"] | dict(seed=seed))  # its own first weights
    device = torch.device(a.device)
    with tempfile.TemporaryDirectory() as out:
        seconds, _ = trained(config, a.images, own, None, out, device)
        model, sched, _ = load(Path(out) / "ema.pt", device)
    samples = draw_all(model, sched, xT.to(device), a.steps).cpu()
    row = dict(seen=len(own), seed=seed, seconds=round(seconds, 1))
    for name, part in dict(loss_own=own, loss_unseen=unseen).items():
        thousand = part[torch.arange(1000) % len(part)]  # few images at many levels each
        row[name] = held_out(model, sched, config, thousand, None)
    row |= judged(samples, own, others)
    photographs = judged(as_floats(unseen[: a.n]), own, others)
    return row | dict(photographs=photographs), samples


def copies(a):
    "Train and judge what is still missing in the file; samples and pictures lie beside it."
    torch.set_num_threads(a.threads)
    config = read_config(a.config, a.set)
    config["data"]["dir"] = a.data or config["data"]["dir"]
    config["train"]["images"] = a.images
    if config["model"]["num_classes"]:
        sys.exit("error: --copies is for a network without classes")
    x = dataset(config)[0]
    if min(a.copies) < 2 or max(a.copies) > (len(x) - UNSEEN) // 2:
        sys.exit(
            f"error: --copies takes 2 to {(len(x) - UNSEEN) // 2} images, half of what is left"
        )
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    settings = dict(images=a.images, n=a.n, steps=a.steps, images_of_all=len(x), unseen=UNSEEN)
    settings["config"] = config | dict(data=config["data"] | dict(dir="data"))
    old = json.loads(a.out.read_text(encoding="utf-8")) if a.out.exists() else dict(rows=[])
    if any(old.get(k, v) != v for k, v in settings.items()):
        sys.exit(f"error: {a.out} holds other trials: name another file with --out")
    head = about(a) | settings
    rows, drawn_by, seen_by, unseen = old["rows"], {}, {}, x[order[:UNSEEN]]
    a.out.parent.mkdir(parents=True, exist_ok=True)
    xT = torch.randn(a.n, *x[:1].shape[1:], generator=torch.Generator().manual_seed(0))
    for seed, (name, parts) in enumerate(parts_of(len(x), a.copies).items()):
        kept = beside(a.out, name, ".pt")
        own, others = (x[order[list(part)]] for part in parts)
        if not kept.exists() or name not in {r["trained_on"] for r in rows}:
            row, samples = one_network(config, own, others, unseen, seed, xT, a)
            torch.save(samples, kept)
            rows = [r for r in rows if r["trained_on"] != name] + [dict(trained_on=name) | row]
            write_text(json.dumps(head | dict(rows=rows), indent=1) + "\n", a.out)
            print(json.dumps(rows[-1]), flush=True)
        drawn_by[name], seen_by[name] = torch.load(kept, weights_only=True), own
    *first, last = drawn_by  # the last one shares no image with any of the others
    head["alike"] = {name: alike(drawn_by[name], drawn_by[last]) for name in first}
    albums = [seen_by[name][: max(a.copies)] for name in first[-1:] + [last]]
    head["exact"], drawn_by["exact"] = exact_copies(config, *albums, xT, a)
    write_text(json.dumps(head | dict(rows=rows), indent=1) + "\n", a.out)
    pictures(drawn_by, seen_by, a.out)


def beside(out, name, suffix):
    return out.with_name(f"{out.stem}_{name.replace(' ', '_')}{suffix}")


def alike(one, two):
    "How near two networks' pictures from the same noise are, and from different noises."
    d = torch.cdist(one.flatten(1), two.flatten(1)) / one[0].numel() ** 0.5
    same = d.diagonal()
    u, v = ((s - s.mean(0)).flatten(1) for s in (one, two))
    r = torch.nn.functional.cosine_similarity(u, v)
    apart = (d.sum() - same.sum()) / (d.numel() - len(d))
    first = (d.argmin(1) == torch.arange(len(d))).float().mean()
    return dict(
        same_noise=same.mean().item(),
        other_noise=apart.item(),
        correlation=r.mean().item(),
        nearest_is_same_noise=first.item(),
    )


def album(sched, images):
    "The exact denoiser of some images: `mixture_denoiser` by products of matrices, for one t."
    mu = images.flatten(1).double()

    def model(x, t, c=None):
        ab = sched.alpha_bar[t[0]]
        far = torch.cdist(x.flatten(1).double(), ab.sqrt() * mu).square()
        x0 = (-far / (2 * (1 - ab))).softmax(1) @ mu
        return x0_to_eps(sched, x, t, x0.reshape(x.shape).to(x))

    return model


def exact_copies(config, own, others, xT, a):
    "What the exact denoisers of two sets of images draw: a row, and the samples of the first."
    sched = make_schedule(**config["schedule"])
    one, two = (draw_all(album(sched, as_floats(v)), sched, xT, a.steps) for v in (own, others))
    return dict(seen=len(own)) | judged(one, own, others) | dict(alike=alike(one, two)), one


def pictures(drawn_by, seen_by, out):
    "Samples above their nearest training images, for some; the halves below one another; exact."
    some = {name: samples[:SHOWN] for name, samples in drawn_by.items()}
    one, two = some.pop("one half"), some.pop("the other half")
    exact = some.pop("exact")
    for name, samples in some.items():
        seen = as_floats(seen_by[name])
        rows = torch.cat([samples, seen[near(samples, seen)[1]]])
        grid(rows, SHOWN).save(beside(out, name, ".png"))
    grid(exact, SHOWN).save(beside(out, "exact", ".png"))
    seen = as_floats(torch.cat([seen_by["one half"], seen_by["the other half"]]))
    grid(torch.cat([one, two, seen[near(one, seen)[1]]]), SHOWN).save(beside(out, "halves", ".png"))


def arguments():
    formatter = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    p.add_argument("--config", help="of candidates that are trained")
    p.add_argument("--ckpt", default="checkpoints/cifar10", help="to sample from, without --config")
    p.add_argument("--weak", metavar="CKPT", help="a worse network to lean away from")
    p.add_argument("--sweep", nargs="+", choices=SWEEPS, default=[], help="many ways to sample")
    p.add_argument("--data", help="folder of the data, instead of data.dir")
    p.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for all candidates")
    p.add_argument("--try", nargs="+", default=[""], dest="candidates", metavar="CANDIDATE")
    budget = p.add_mutually_exclusive_group()
    budget.add_argument("--images", type=int, help="of each run")
    budget.add_argument("--minutes", type=float, help="of each run")
    p.add_argument("--score", nargs="+", metavar="CKPT", help="these checkpoints of one run")
    p.add_argument("--copies", type=int, nargs="+", metavar="N", help="train on so many images")
    p.add_argument("--seeds", type=int, default=2)
    p.add_argument("--n", type=int, default=2000, help="samples")
    p.add_argument("--steps", type=int, default=12, help="of DDIM, for candidates")
    p.add_argument(
        "--precision",
        choices=["auto", "bf16", "fp32"],
        default="fp32",
        help="in which the network draws",
    )
    p.add_argument("--bits", action="store_true", help="also measure bits per dimension")
    p.add_argument(
        "--under", nargs="+", choices=[*schedules], default=[], help="schedules, on a CPU"
    )
    p.add_argument("--every-ema", action="store_true", help="score every average")
    p.add_argument("--grids", type=Path, help="folder for pictures of samples")
    p.add_argument("--jobs", type=int, default=1, help="runs at a time")
    p.add_argument("--threads", type=int, default=1, help="of each")
    p.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    p.add_argument("--out", required=True, type=Path, help="JSON file")
    a = p.parse_args()
    if a.config and not (a.images or a.minutes):
        p.error("candidates need --images or --minutes")
    if a.copies and not (a.config and a.images):
        p.error("--copies needs --config and --images")
    if a.weak and (a.config or a.score):
        p.error("--weak is for --sweep, or for --try without --config")
    if not (a.config or a.score or a.sweep) and a.candidates == [""]:
        p.error("name ways to sample with --try or --sweep")
    if a.device == "auto":
        a.device = "cuda" if torch.cuda.is_available() and not a.under else "cpu"
    return a


if __name__ == "__main__":
    asked = arguments()
    how = copies if asked.copies else compare if asked.config else curve if asked.score else sweep
    sys.exit(guard(how)(asked))

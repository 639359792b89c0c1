"""Trials of recipes and networks: each candidate is trained from nothing, sampled from, and ranked; written as JSON.

usage: python benchmarks/trials.py --config configs/cifar10-cpu.yaml --images 12800 \\
           --try "" "train.optimizer=adam train.lr=2e-3" --out results/trials/optimizers.json
       python benchmarks/trials.py --config configs/cifar10-cpu.yaml --minutes 20 \\
           --try "model.ch=32" "model.ch=48" --out results/trials/networks.json

A candidate is a string of section.key=value with spaces between them, and may name how t is drawn in the place of
uniform: draw=normal, draw=normal:MEAN:STD of the log-SNR (short for train.levels, snr_mean and snr_std) or
draw=laplace, which no recipe has; all are stratified. With --images every candidate sees as many images; with --minutes
each gets as many minutes of its process (on a CPU those that it computes, so that what runs beside it takes nothing
from it; on a GPU those of the clock), and the number of images follows from the speed of a few steps.

Each run is scored on unseen images: the loss at fixed t and noise, and, for --n samples of the first average drawn
with --steps of DDIM at w = 1, the Fréchet distance of EfficientNet-Lite0's features from the training images and the
share of samples that a probe on these features finds in the right class. --every-ema scores all averages of train.ema.
Runs go to processes of --threads threads, --jobs at a time. A file that is not complete is continued.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import shlex
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import torch
from short_runs import held_out

from tinydiff.cli import Look, dataset, pick_device, read_config, samples, write_json
from tinydiff.fid import Real, efficientnet_lite0, evaluate
from tinydiff.train import (
    EMA,
    Recipe,
    compiled,
    draw_batch,
    layout,
    load,
    make_optimizer,
    make_schedule,
)
from tinydiff.train import strata, stratified_t, train, train_step, use_bf16
from tinydiff.unet import UNet, flops


def laplace_t(sched, B, T, device=None):
    "B levels with log-SNR by Laplace (mean 0, scale 0.5), the density that Hang and others (2024) found best; stratified."
    rising = -sched.snr[1:].log()  # over t
    up_to = torch.distributions.Laplace(0.0, 0.5).cdf(rising)  # the density is even
    return (torch.searchsorted(up_to, strata(B).double()).clamp(max=T - 1) + 1).to(device)


def parse(candidate):
    "Its sections' keys, and whether t is drawn by Laplace."
    words, laplace = [], False
    for word in candidate.split():
        name, *numbers = word.removeprefix("draw=").split(":")
        if word == "draw=laplace":
            laplace = True
        elif word.startswith("draw=normal"):
            words.append("train.levels=normal")
            words += [
                f"train.{k}={v}" for k, v in zip(("snr_mean", "snr_std"), numbers, strict=False)
            ]
        else:
            words.append(word)
    return words, laplace


def clock(device):
    "Seconds of this process's own work."
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def affordable(config, x, y, device, minutes):
    "How many images a run of so many minutes may see: from the speed of five steps after two that do not count."
    r, sched = Recipe(**config["train"]), make_schedule(config["schedule"]).to(device)
    bf16 = use_bf16(r.precision, device)
    net = UNet(**config["model"]).to(device, memory_format=layout(device, bf16))
    cast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    fast = compiled(net, device)
    opt, ema = make_optimizer(net, r), EMA(net, r.ema)
    for step in range(7):
        if step == 2:
            start = clock(device)
        batch = draw_batch(x, y, r, step, sched, net.num_classes, device)
        train_step(fast, opt, sched, batch, r, cast)
        ema.update((step + 1) * r.batch, r.batch)
    speed = 5 * r.batch / (clock(device) - start)
    return max(r.batch, int(speed * minutes * 60) // r.batch * r.batch)


@cache
def reference(data, device):
    "Features of the real images, for all runs of a process that have the same data (JSON)."
    config, features = json.loads(data), efficientnet_lite0(device)
    x, y, _ = dataset(config)
    xt, yt, _ = dataset(config, train=False)
    return features, Real(features, x, y, xt, yt, config["model"]["num_classes"])


def score(src, a, device, data_config):
    "Held-out loss and distance of one checkpoint."
    model, sched, config = load(src, device)
    shape = {k: data_config["model"][k] for k in ("image_size", "channels", "num_classes")}
    features, real = reference(json.dumps(dict(data=data_config["data"], model=shape)), device)
    look = Look(steps=a.steps, w=1.0)
    row = evaluate(samples(model, sched, config, look, a.n, seed=0), features, real)
    return dict(
        held_out=held_out(src, device),
        distance=row["distance"],
        class_accuracy=row.get("class_accuracy"),
        floor=row["unseen"]["distance"],
    )


def run(a, candidate, seed):
    "Train and score one candidate with one seed."
    torch.set_num_threads(a.threads)
    torch.compiler.reset()  # else many networks in one process are too many for torch.compile
    device = pick_device(a.device)
    sets, laplace = parse(candidate)
    config = read_config(a.config, a.set + sets + [f"train.seed={seed}"])
    x, y, _ = dataset(config)
    images = a.images or affordable(config, x, y, device, a.minutes)
    config["train"].update(images=images, save=images, log=max(1, images // 10))
    sched = make_schedule(config["schedule"])
    draw_t = partial(laplace_t, sched) if laplace else stratified_t
    with tempfile.TemporaryDirectory() as out, open(os.devnull, "w") as null:
        with contextlib.redirect_stderr(null), patch("tinydiff.train.stratified_t", draw_t):
            start, wall = clock(device), time.time()
            train(config, x, y, out, device=device)
            seconds, wall = clock(device) - start, time.time() - wall
            halves = config["train"]["ema"]
            names = ["ema.pt", *(f"ema-{h}.pt" for h in halves[1:])]
            kept = zip(halves, names, strict=True) if a.every_ema else [(halves[0], "ema.pt")]
            scores = {str(h): score(Path(out) / name, a, device, config) for h, name in kept}
    net = UNet(**config["model"])
    return dict(
        candidate=candidate,
        seed=seed,
        images=images // config["train"]["batch"] * config["train"]["batch"],
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
            key = (row["candidate"] or "as it is") + (
                f", ema {half}" if len(row["scores"]) > 1 else ""
            )
            values = (s["distance"], s["held_out"][0], s["class_accuracy"] or 0, row["images"])
            lines.setdefault(key, []).append(values)
    print(f"{'candidate':60} seeds  distance  held-out  class accuracy   images")
    for key, values in sorted(lines.items(), key=lambda kv: sum(v[0] for v in kv[1]) / len(kv[1])):
        distance, loss, accuracy, images = (sum(v) / len(v) for v in zip(*values, strict=True))
        print(
            f"{key:60} {len(values):5} {distance:9.1f} {loss:9.4f} {accuracy:15.3f} {images:8,.0f}"
        )


def arguments():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--config", required=True)
    p.add_argument("--data", help="folder of the data, instead of data.dir")
    p.add_argument(
        "--set", nargs="*", default=[], metavar="section.key=value", help="for all candidates"
    )
    p.add_argument("--try", nargs="+", default=[""], dest="candidates", metavar="CANDIDATE")
    budget = p.add_mutually_exclusive_group(required=True)
    budget.add_argument("--images", type=int, help="of each run")
    budget.add_argument("--minutes", type=float, help="of each run")
    p.add_argument("--seeds", type=int, default=2)
    p.add_argument("--n", type=int, default=2000, help="samples")
    p.add_argument("--steps", type=int, default=12, help="of DDIM")
    p.add_argument("--every-ema", action="store_true", help="score every average")
    p.add_argument("--jobs", type=int, default=1, help="runs at a time")
    p.add_argument("--threads", type=int, default=1, help="of each")
    p.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    p.add_argument("--out", required=True, help="JSON file")
    return p.parse_args()


def main():
    a = arguments()
    a.set += [f"data.dir={a.data}"] * bool(a.data)
    out, device = Path(a.out), pick_device(a.device)
    settings = dict(
        budget=dict(images=a.images, minutes=a.minutes), n=a.n, sampler="ddim", steps=a.steps, w=1.0
    )
    settings.update(config=Path(a.config).name, set=[s for s in a.set if not s.startswith("data.")])
    settings.update(threads=a.threads, every_ema=a.every_ema)
    rows = []
    if out.exists():
        old = json.loads(out.read_text())
        if any(old.get(k, v) != v for k, v in settings.items()):
            sys.exit(f"error: {out} holds trials with other settings: name another file with --out")
        rows = old["rows"]
    done = {(row["candidate"], row["seed"]) for row in rows}
    todo = [(c, s) for s in range(a.seeds) for c in a.candidates if (c, s) not in done]
    cpu = f"{os.cpu_count()} CPU cores ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"
    about = dict(
        command=shlex.join(["python", *(w for w in sys.argv if w != a.data and w != "--data")]),
        hardware=torch.cuda.get_device_name() if device.type == "cuda" else cpu,
        torch=torch.__version__,
        features="FD-EffNetLite0",
        **settings,
    )
    base = read_config(
        a.config, a.set
    )  # so that the file stands for itself, whatever becomes of the config
    base["data"].pop("dir")
    for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(k, str(a.threads))
    with ProcessPoolExecutor(a.jobs, multiprocessing.get_context("spawn")) as pool:
        for future, what in [(pool.submit(run, a, *what), what) for what in todo]:
            try:
                rows.append(future.result())
            except (ValueError, ArithmeticError, RuntimeError, OSError) as e:
                print(f"failed: {what}: {e}", file=sys.stderr, flush=True)
                continue
            write_json(dict(**about, base=base, rows=rows), out)
            print(f"{len(rows)} of {len(done) + len(todo)}: {json.dumps(rows[-1])}", flush=True)
    write_json(dict(**about, base=base, rows=rows), out)
    table(rows)
    sys.exit(len(rows) < len(done) + len(todo))


if __name__ == "__main__":
    main()

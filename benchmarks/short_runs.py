"""Questions about training that short runs answer, judged on 1,000 images that were not trained on, at fixed steps and noise; written as JSON.

usage: python benchmarks/short_runs.py candidates --config configs/cifar10.yaml --try "" "model.ch=64" "train.lr=1e-3" [--seconds 90]
       python benchmarks/short_runs.py slices --config configs/cifar10.yaml --set model.ch=16 ... [--images 200000] [--more 50000]

candidates: each of --try (keys of the config to set, with spaces between them) trains for the same number of seconds,
not counting the first step, in which a GPU compiles. The learning rate stays up after its warm-up. Reported are the
speed, the memory, the held-out loss, per quartile of t, and the held-out bits per dimension. Losses of eps, x0 and v,
or of different schedules, are not to be compared; bits are.
slices: a run is stopped after --images and goes on from less than its whole state. What does that cost in held-out
loss, 1/10, 1/5, 2/5 and all of --more images later? Batches and noise are the same for all.
"""

import argparse
import os
import platform
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest.mock import patch

import torch

from tinydiff.cli import dataset, pick_device, read_config, write_json
from tinydiff.data import cifar10_sample
from tinydiff.ddpm import bits_per_dim
from tinydiff.runs import find, read, save_folder, write_checkpoint
from tinydiff.train import diffusion_loss, load, train, train_step


def unseen(config):
    "The images of data.holdout, or the bundled test images of CIFAR-10, and their labels."
    return (dataset(config, train=False) if config["data"].get("holdout") else cifar10_sample())[:2]


@torch.no_grad()
def held_out(src, device):
    "The loss of a checkpoint's weights on unseen images: the mean, and that of each quartile of t."
    model, sched, config = load(src, device)
    g = torch.Generator().manual_seed(0)
    x, y = unseen(config)
    t, eps, K = (
        (torch.randperm(len(x), generator=g) * sched.T // len(x) + 1),
        torch.randn(x.shape, generator=g),
        config["model"]["num_classes"],
    )
    parts = zip(
        *(v.to(device).split(100) for v in (x[:].float() / 127.5 - 1, t, eps, y if K else t))
    )
    loss = torch.cat(
        [
            diffusion_loss(
                model.net, sched, x0, t, eps, c if K else None, config["train"]["predict"]
            ).cpu()
            for x0, t, eps, c in parts
        ]
    )
    return [
        loss.mean().item(),
        *(loss[(t - 1) * 4 // sched.T == q].mean().item() for q in range(4)),
    ]


def bits(src, device):
    "Bits per dimension of unseen images, one for each t, and their ε-MSE."
    model, sched, config = load(src, device)
    x, y = unseen(config)
    row = bits_per_dim(
        model,
        sched,
        x[:].to(device),
        y.to(device) if config["model"]["num_classes"] else None,
        1,
        progress=False,
    )
    return {k: row[k] for k in ("bits_per_dim", "eps_mse")}


def timed(config, x, y, out, device, seconds):
    "Train for some seconds after the first step; return the seconds that the first step took, and the images per second after it."
    start, first = time.time(), []

    def step(*args):
        result = train_step(*args)
        if not first:
            first.append(time.time() - start)
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return result

    with patch("tinydiff.train.train_step", step):
        train(config, x, y, out, device=device)
    return first[0], (read(out / "last.pt")["step"] - 1) * config["train"]["batch"] / seconds


def candidates(a, x, y, device, tmp):
    "Equal seconds for each candidate."
    for i, sets in enumerate(a.candidates):
        config, out = (
            read_config(
                a.config,
                a.set
                + sets.split()
                + ["train.images=1000000000", "train.save=1000000000", "train.decay=0"],
            ),
            tmp / str(i),
        )
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        first, speed = timed(config, x, y, out, device, a.seconds)
        ckpt = read(out / "ema.pt")
        row = dict(
            sets=sets,
            parameters=sum(v.numel() for v in ckpt["net"].values()),
            images=ckpt["images"],
            first_step_s=round(first, 1),
            img_per_s=round(speed, 1),
            held_out=held_out(out / "ema.pt", device),
            **bits(out / "ema.pt", device),
        )
        if device.type == "cuda":
            row["gpu_bytes"] = torch.cuda.max_memory_allocated()
        print(
            f"{sets or 'as it is':40} {row['parameters'] / 1e6:6.2f}M parameters {speed:9,.0f} img/s {row['images']:>10,} images  held-out loss {row['held_out'][0]:.4f}  bits/dim {row['bits_per_dim']:.3f}",
            flush=True,
        )
        yield row


def less(path, keep):
    "A checkpoint of a run with less than the whole in it: new weights, averages and state of Adam from `keep(checkpoint)`."
    ckpt = read(path)
    write_checkpoint(ckpt | keep(ckpt), path)


def half(weights):
    return {k: v.half().float() for k, v in weights.items()}


def weights_and_averages(ckpt):
    config = ckpt["config"] | dict(
        train=ckpt["config"]["train"] | dict(start=ckpt["images"])
    )  # the learning rate warms up again
    return dict(
        config=config,
        net=half(ckpt["net"]),
        ema={h: half(w) for h, w in ckpt["ema"].items()},
        opt=ckpt["opt"] | dict(state={}),
    )


def averages_and_squares(ckpt):
    state = {
        i: dict(
            step=s["step"],
            exp_avg=torch.zeros_like(s["exp_avg"]),
            exp_avg_sq=s["exp_avg_sq"].bfloat16().float(),
        )
        for i, s in ckpt["opt"]["state"].items()
    }
    ema = {h: half(w) for h, w in ckpt["ema"].items()}
    return dict(net=next(iter(ema.values())), ema=ema, opt=ckpt["opt"] | dict(state=state))


def slices(a, x, y, device, tmp):
    "The same run, continued from more and from less."
    config = read_config(
        a.config,
        a.set
        + [
            f"train.images={a.images}",
            "train.optimizer=adam",
            "train.decay=0",
            "train.save=1000000000",
        ],
    )

    def run(out, images, init=None, **how):
        train(
            config | dict(train=config["train"] | dict(images=images) | how),
            x,
            y,
            out,
            (out / "last.pt").exists(),
            device,
            init,
        )

    run(tmp / "first", a.images)
    save_folder(tmp / "carried", *find(tmp / "first" / "ema.pt"))
    ways = {
        "everything": (16, None, {}),
        "averages (--init)": (2, tmp / "carried", {}),
        "averages, no second warm-up": (2, tmp / "carried", dict(warmup=0)),
        "weights and averages": (4, weights_and_averages, {}),
        "averages and Adam's mean squares": (4, averages_and_squares, {}),
    }
    for name, (size, what, how) in ways.items():
        out, row = (
            tmp / name,
            dict(way=name, bytes_per_parameter=size, more=[], held_out=[], held_out_weights=[]),
        )
        if not isinstance(what, Path):
            shutil.copytree(tmp / "first", out)
            if what:
                less(out / "last.pt", what)
        for share in (0.1, 0.2, 0.4, 1):
            run(
                out, a.images + int(share * a.more), what if isinstance(what, Path) else None, **how
            )
            row["more"].append(int(share * a.more))
            row["held_out"].append(held_out(out / "ema.pt", device))
            row["held_out_weights"].append(held_out(out / "last.pt", device))
        print(
            f"{name:34} {size:3} bytes per parameter; averages "
            + " ".join(f"{v[0]:.4f}" for v in row["held_out"])
            + "  weights "
            + " ".join(f"{v[0]:.4f}" for v in row["held_out_weights"]),
            flush=True,
        )
        yield row


if __name__ == "__main__":
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("what", choices=["candidates", "slices"])
    p.add_argument("--config", required=True)
    p.add_argument("--data", help="folder of the data, instead of data.dir")
    p.add_argument("--set", nargs="*", default=[], metavar="section.key=value")
    p.add_argument(
        "--try",
        nargs="+",
        default=[""],
        dest="candidates",
        metavar="SETS",
        help="candidates, each a string of section.key=value with spaces",
    )
    p.add_argument("--seconds", type=float, default=90, help="of each candidate")
    p.add_argument("--images", type=int, default=200_000, help="before the stop")
    p.add_argument("--more", type=int, default=50_000, help="images after it")
    p.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    p.add_argument("--out", help="JSON file (default: results/benchmarks/<what>.json)")
    a = p.parse_args()
    a.set, device = a.set + [f"data.dir={a.data}"] * bool(a.data), pick_device(a.device)
    x, y, _ = dataset(read_config(a.config, a.set))
    with tempfile.TemporaryDirectory() as tmp:
        rows = list(
            {"candidates": candidates, "slices": slices}[a.what](a, x, y, device, Path(tmp))
        )
    hardware = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{os.cpu_count()} CPU cores ({platform.machine()}), {torch.get_num_threads()} thread(s)"
    )
    write_json(
        dict(
            command=shlex.join(["python", *sys.argv]),
            hardware=hardware,
            torch=torch.__version__,
            load_at_the_end=round(os.getloadavg()[0], 1),
            **dict(slices=dict(images=a.images), candidates=dict(seconds=a.seconds))[a.what],
            rows=rows,
        ),
        Path(a.out or f"results/benchmarks/{a.what}.json"),
    )

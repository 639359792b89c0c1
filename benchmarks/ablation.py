"""The two ablations of chapters 5 and 6: distance, class accuracy, precision and recall against the guidance scale, and against the sampler.

usage: python benchmarks/ablation.py guidance [--ckpt checkpoints/cifar10] [--data data] [--n 500] [--seeds 2]
       python benchmarks/ablation.py samplers ...

Writes results/<checkpoint>/guidance.json or samplers.json, one row per setting and seed, as `eval_fid.py --features
efficientnet-lite0` would write them. Rows that are there already are kept, so a run that was stopped is continued by
the same command. On a GPU: --n 50000 --seeds 1.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from tinydiff.cli import Look, autocast, label, provenance, reference, score, write_json
from tinydiff.fid import efficientnet_lite0
from tinydiff.train import load

LOOKS = dict(
    guidance=[Look(w=w) for w in (0.0, 0.5, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 8.0)],
    samplers=[
        Look(w=1.0, steps=s, eta=eta, spacing=how)
        for eta, how, s in itertools.product(
            (0.0, 1.0), ("quadratic", "uniform"), (10, 20, 50, 100, 250)
        )
    ]
    + [
        Look(w=1.0, sampler="ddpm", steps=s, variance=v)
        for v, s in itertools.product(("large", "small"), (50, 100, 250, 1000))
    ],
)

if __name__ == "__main__":
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("what", choices=LOOKS)
    p.add_argument("--ckpt", default="checkpoints/cifar10")
    p.add_argument("--data", default="data")
    p.add_argument("--n", type=int, default=500, help="samples for each setting and seed")
    p.add_argument("--seeds", type=int, default=2)
    p.add_argument("--batch", type=int, default=100)
    p.add_argument(
        "--precision", choices=["auto", "bf16", "fp32"], default="auto", help="of the network"
    )
    a = p.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, sched, config = load(a.ckpt, device)
    model = autocast(model, a.precision)
    config["data"]["dir"] = a.data
    features, out = (
        efficientnet_lite0(device),
        Path("results") / Path(a.ckpt).name / f"{a.what}.json",
    )
    real, about = reference(config, features), provenance(a.ckpt, model, a.precision)
    about.update(reference="train", features=features.name, features_sha256=features.sha256)
    rows = json.loads(out.read_text()) if out.exists() else []
    if any((r["n"], r["checkpoint_sha256"]) != (a.n, about["checkpoint_sha256"]) for r in rows):
        sys.exit(f"error: {out} holds the rows of another n or checkpoint: remove it first")
    todo = [(look, seed) for seed in range(a.seeds) for look in LOOKS[a.what]]
    for look, seed in tqdm(todo, desc=a.what, unit="setting"):
        how, name = label(look, config)
        if any((r["setting"], r["seed"]) == (name, seed) for r in rows):
            continue
        one = out.with_name(f".{name}.json")
        rows.append(
            score(
                model,
                sched,
                config,
                look,
                a.n,
                a.batch,
                seed,
                features,
                real,
                one,
                {**about, "setting": name, **how, "seed": seed},
            )
        )
        one.unlink()
        write_json(rows, out)

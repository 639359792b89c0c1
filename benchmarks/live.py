#!/usr/bin/env python
"""What one call of the network costs, with PyTorch and with the WebAssembly of live/ in Node.

    python benchmarks/live.py --rounds 8 --out results/benchmarks/live.json

It counts processor time of one core, so that other programs on the machine matter less."""

import argparse
import json
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import torch

import tinydiff as td

root = Path(__file__).resolve().parent.parent
CALLS = 10  # in a round
IN_NODE = """
const { net } = await open(folder), best = [];
for (let i = 0; i < 30; i++) net(x, 500, -1);
for (let r = 0; r < rounds; r++) {
  const before = process.cpuUsage().user;
  for (let i = 0; i < calls; i++) net(x, 500, -1);
  best.push((process.cpuUsage().user - before) / 1000 / calls);
}
return Math.min(...best);"""


def in_node(folder: Path, count: int, rounds: int) -> float:  # milliseconds
    zeros = "A" * (16 * count // 3)  # in base 64
    given = dict(folder=str(folder), x=dict(data=zeros), rounds=rounds, calls=CALLS)
    question = dict(code=IN_NODE, given=given, wasm=str(root / "live" / "kernels.wasm"))
    command = ["node", root / "live" / "node.js"]
    done = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True)
    return json.loads(done.stdout)


@torch.no_grad()
def in_torch(net, x: torch.Tensor, rounds: int) -> float:  # milliseconds
    t, best = torch.tensor([500]), []
    for _ in range(rounds):
        before = time.process_time()
        for _ in range(CALLS):
            net(x, t)
        best.append((time.process_time() - before) * 1000 / CALLS)
    return min(best)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--out", default="results/benchmarks/live.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    start, calls = time.time(), []
    for name in ("cifar10", "celeba64"):
        folder = root / "checkpoints" / name
        model, _, config = td.load(folder)
        x = torch.zeros(1, 3, *[config["model"]["image_size"]] * 2)
        row = dict(checkpoint=name, pytorch_ms=round(in_torch(model.net, x, args.rounds), 2))
        row["wasm_ms"] = round(in_node(folder, x.numel(), args.rounds), 2)
        calls.append(row)
    node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    about = dict(command=shlex.join(["python", *sys.argv]), repeats=args.rounds, calls=calls)
    about.update(hardware=f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}")
    about.update(node=node, torch=torch.__version__, seconds=round(time.time() - start, 1))
    Path(args.out).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(about, indent=1))


if __name__ == "__main__":
    main()

"What `train_step.py` and `sample.py` share: contenders timed in turn, the machine's own rates, the report."

import json
import os
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm


def seconds(step, device):
    "Seconds that one call takes."
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turn(steps, rounds, device, repeat=1):
    "Seconds per call of each of the named functions, one value per round; each round has them in another order."
    times, names = {name: [] for name in steps}, list(steps)
    for k in tqdm(range(rounds), desc="rounds", leave=False):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            times[name].append(sum(seconds(steps[name], device) for _ in range(repeat)) / repeat)
    return times


def count(step):
    "FLOP of one call: matrix products and convolutions; attention counted as the products that it is."
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def faster(make, device):
    "`make(format)` in the memory format that is faster for it, by the best of seven calls of each in turn, and the format's name."
    made = {
        name: make(fmt)
        for name, fmt in dict(NCHW=torch.contiguous_format, NHWC=torch.channels_last).items()
    }
    for _, step in made.values():
        step()  # warms up
    best = min(
        made,
        key={
            name: min(t)
            for name, t in in_turn(
                {name: step for name, (_, step) in made.items()}, 7, device
            ).items()
        }.get,
    )
    return *made[best], best


def machine(device, dtype):
    "Two functions that show what the machine can do, and the work of a call: a square matrix product (FLOP), a large copy (bytes)."
    n, size = (8192, 2**30) if device.type == "cuda" else (2048, 2**27)
    a, src = torch.randn(n, n, device=device).to(dtype), torch.ones(size // 4, device=device)
    b, dst = a.clone(), torch.empty_like(src)
    return dict(matmul=lambda: a @ b, copy=lambda: dst.copy_(src)), dict(
        matmul=2 * n**3, copy=2 * size
    )


def about(device, **more):
    "Command, hardware, threads and versions."
    cpu = f"{os.cpu_count()} CPU cores ({platform.machine()}), {torch.get_num_threads()} thread(s), {torch.backends.cpu.get_cpu_capability()}"
    libraries = {k: version(k) for k in ("denoising-diffusion-pytorch", "diffusers", "ema-pytorch")}
    return dict(
        command=shlex.join(["python", *sys.argv]),
        hardware=torch.cuda.get_device_name() if device.type == "cuda" else cpu,
        threads=torch.get_num_threads(),
        load_at_the_end=round(os.getloadavg()[0], 1),
        torch=torch.__version__,
        libraries=libraries,
        **more,
    )


def rows(contenders, times, images, unit):
    "For each contender: what it is, medians of its rounds, and its time as a multiple of the first one's, round by round."
    first, out = times[next(iter(contenders))], {}
    for name, what in contenders.items():
        t, ratio = median(times[name]), sorted(a / b for a, b in zip(times[name], first))
        out[name] = what | {
            f"ms_per_{unit}": round(1e3 * t, 1),
            "img_per_s": round(images / t, 3),
            "gflop_per_s": round(what["gflop_per_image"] * images / t, 1),
            "time_over_ours": round(median(ratio), 3),
            "time_over_ours_range": [round(ratio[0], 3), round(ratio[-1], 3)],
            "seconds_by_round": [round(v, 4) for v in times[name]],
        }
    return out


def report(row, unit, out):
    "Print the table of `row['contenders']` and write `row` as JSON."
    print(
        f"| | Mparams | GF/image | ms per {unit} | img/s | GFLOP/s | time / ours |\n|---|---|---|---|---|---|---|"
    )
    for name, r in row["contenders"].items():
        print(
            f"| {name} | {r['parameters'] / 1e6:.2f} | {r['gflop_per_image']:.2f} | {r[f'ms_per_{unit}']:,.0f} | {r['img_per_s']:,.2f} | {r['gflop_per_s']:,.0f} | {r['time_over_ours']:.2f} |"
        )
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(row, indent=1) + "\n")

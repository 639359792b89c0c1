"""A whole training step, beside lucidrains' denoising-diffusion-pytorch and diffusers, written as JSON.

usage: python benchmarks/train_step.py [--batch N] [--rounds 7] [--steps 1] [--device auto] [--out results/benchmarks/train_step.json]

A step: a batch drawn from 10,000 random uint8 32x32 images in memory, noise, loss, gradient, clipping, optimizer,
average of the weights. The networks have 64, 128 and 128 channels at 32, 16 and 8 pixels, attention at 16 and 8,
and nearly the same FLOP per image:
- tinydiff: `UNet()` (2 blocks a level); draw_batch, train_step and EMA.update, as `train` calls them
  (memory format by `layout`, fused Adam as the others have it, bf16 where the hardware has it, torch.compile on a GPU). On a CPU, also with
  PyTorch's scaled_dot_product_attention in the place of the products that `attend` writes out there.
- lucidrains: `Unet(dim=64, dim_mults=(1, 2, 2))` (2 blocks a level; its attention at 32 and 16 is linear) in
  GaussianDiffusion; the inner step of its Trainer with ema_pytorch's EMA, which updates every 10th step.
- diffusers: `UNet2DModel` (1 layer per block, 2 on the way up) and DDPMScheduler; the step of its
  train_unconditional.py with AdamW and EMAModel.
"As it comes" is each library's default: fp32, NCHW, not compiled, heads of 8 channels in diffusers. "Equal" gives
them what ours has: its precision, fused optimizer and torch.compile where ours is compiled, the memory format of
the two that a short trial finds faster for them, and heads of 64 channels in diffusers. Reading the loss, which
both do at each step, is left out; so are data loaders and learning-rate schedules.

They run in turn, in another order each round; times are medians, ratios are medians of the ratios within a round.
The floor is what our step cannot go below on this machine: its FLOP over the rate of a large matrix product in the
same precision, and its bytes over the speed of a large copy, both timed in the same rounds. Bytes counted: each
output of a convolution or linear layer is written, read going forward, read going back, and its gradient written
and read; of each parameter, 16 float32 passes (forward, backward, gradient, clipping 3, Adam 7, EMA 3).
Norms, activations, sums and attention count as if they were fused into these, and caches as if they were empty.
A step of Muon is timed in the same rounds, on the parameters of our network.
"""

import argparse
from functools import partial
from itertools import count as numbers
from statistics import median
from unittest.mock import patch

import torch
import torch.nn.functional as F
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from ema_pytorch import EMA as EMAPytorch
from side_by_side import about, count, faster, in_turn, machine, report, rows

from tinydiff.cli import pick_device
from tinydiff.schedule import linear_schedule
from tinydiff.train import EMA, Muon, Recipe, draw_batch, layout, train_step, use_bf16
from tinydiff.unet import UNet


def tinydiff(x, batch, cast, fmt=torch.channels_last):
    "Our network and a function that trains it for a step."
    r, sched, k = Recipe(batch=batch), linear_schedule().to(x.device), numbers(1)
    net = UNet().to(x.device, memory_format=fmt)
    opt, ema = (
        torch.optim.Adam(net.parameters(), lr=r.lr, betas=(0.9, 0.99), fused=True),
        EMA(net, r.ema),
    )

    def step():
        n = next(k)
        train_step(net, opt, sched, draw_batch(x, None, r, n, sched, 0, x.device), r, cast)
        ema.update(n * batch, batch)

    return net, step


def fused(q, k, v, fused):
    "`attend` by PyTorch's kernel, which is fastest with the channels of a position side by side."
    return F.scaled_dot_product_attention(*(z.mT.contiguous() for z in (q, k, v))).mT


def draw(x, batch):
    "A batch in [0, 1], half of it mirrored."
    x0 = x[torch.randint(len(x), (batch,), device=x.device)].float() / 255
    return torch.where(torch.rand(batch, 1, 1, 1, device=x.device) < 0.5, x0.flip(-1), x0)


def lucidrains(x, batch, cast, fmt=torch.contiguous_format, equal=False):
    "As `Trainer` has it."
    net = Unet(dim=64, dim_mults=(1, 2, 2))
    model = GaussianDiffusion(net, image_size=32).to(x.device, memory_format=fmt)
    opt, ema = (
        torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.99), fused=equal or None),
        EMAPytorch(model, beta=0.995, update_every=10),
    )

    def step():
        with cast:
            loss = model(draw(x, batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
        ema.update()

    return net, step


def diffusers(x, batch, cast, fmt=torch.contiguous_format, equal=False):
    "As examples/unconditional_image_generation/train_unconditional.py has it."
    net = UNet2DModel(
        sample_size=32,
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        attention_head_dim=64 if equal else 8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    ).to(x.device, memory_format=fmt)
    sched, ema = (
        DDPMScheduler(num_train_timesteps=1000),
        EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75),
    )
    opt = torch.optim.AdamW(
        net.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, fused=equal or None
    )

    def step():
        x0 = draw(x, batch) * 2 - 1
        noise, t = torch.randn_like(x0), torch.randint(0, 1000, (batch,), device=x.device)
        with cast:
            loss = F.mse_loss(net(sched.add_noise(x0, noise, t), t).sample.float(), noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
        ema.step(net.parameters())

    return net, step


def muon(net):
    "A step of Muon on gradients that are there, in the place of Adam's."
    opt = Muon(net)
    for p in net.parameters():
        p.grad = torch.randn_like(p)
    return opt.step


def least_bytes(net, step):
    "Bytes that a step must move, as the text above counts them."
    moved, hook = (
        [16 * 4 * sum(p.numel() for p in net.parameters())],
        lambda module, args, out: moved.append(5 * out.nbytes),
    )
    hooks = [
        m.register_forward_hook(hook)
        for m in net.modules()
        if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    step()
    for h in hooks:
        h.remove()
    return sum(moved)


def shares(step, device):
    "The ten operators that take most of a step's time by themselves, and their shares of it."
    kind = "CUDA" if device.type == "cuda" else "CPU"
    with torch.profiler.profile(
        activities=[getattr(torch.profiler.ProfilerActivity, kind)]
    ) as prof:
        step()
    times = {
        e.key: e.self_device_time_total if kind == "CUDA" else e.self_cpu_time_total
        for e in prof.key_averages()
    }
    return {
        k: round(v / sum(times.values()), 3)
        for k, v in sorted(times.items(), key=lambda kv: -kv[1])[:10]
    }


if __name__ == "__main__":
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--batch", type=int, help="images per step (default: 16 on a CPU, 256 on a GPU)")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--steps", type=int, default=1, help="steps of each contender in a round")
    p.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    p.add_argument("--out", default="results/benchmarks/train_step.json")
    a = p.parse_args()
    device = pick_device(a.device)
    gpu, bf16, batch = (
        device.type == "cuda",
        use_bf16("auto", device),
        a.batch or (256 if device.type == "cuda" else 16),
    )
    x = torch.randint(256, (10_000, 3, 32, 32), dtype=torch.uint8, device=device)
    ours, plain = (torch.autocast(device.type, torch.bfloat16, enabled=on) for on in (bf16, False))
    contenders, steps = {}, {}

    def enter(name, net, step, fmt, **more):
        contenders[name] = dict(
            parameters=sum(p.numel() for p in net.parameters()),
            gflop_per_image=work[name.split(",")[0]],
            memory_format=fmt,
            **more,
        )
        steps[name] = step

    def compiled(make, fmt):
        net, step = make(fmt=fmt)
        if gpu:
            net.compile()
        return net, step

    work = {
        f.__name__: count(f(x, batch, plain)[1]) / batch / 1e9
        for f in (tinydiff, lucidrains, diffusers)
    }
    fmt = layout(device, bf16)
    net, step = tinydiff(x, batch, ours, fmt)
    moved = least_bytes(net, step)
    if gpu:
        net.compile()
    enter("tinydiff", net, step, "NHWC" if fmt is torch.channels_last else "NCHW")
    if not gpu:
        net, step = tinydiff(x, batch, ours, fmt)
        enter(
            "tinydiff, fused attention",
            net,
            patch("tinydiff.unet.attend", fused)(step),
            contenders["tinydiff"]["memory_format"],
        )
    for f in (lucidrains, diffusers):
        enter(f"{f.__name__}, as it comes", *f(x, batch, plain), "NCHW")
    for f in (lucidrains, diffusers):
        enter(
            f"{f.__name__}, equal",
            *faster(partial(compiled, partial(f, x, batch, ours, equal=True)), device),
        )
    able, amount = machine(device, torch.bfloat16 if bf16 else torch.float32)
    able["muon"] = muon(UNet().to(device, memory_format=fmt))
    in_turn(steps | able, 1, device)  # warms up
    times = in_turn(steps | able, a.rounds, device, a.steps)
    rate = {name: amount[name] / median(times[name]) for name in amount}
    flop, table = work["tinydiff"] * batch * 1e9, rows(contenders, times, batch, "step")
    floor = dict(
        gflop_per_step=flop / 1e9,
        matmul_gflop_per_s=rate["matmul"] / 1e9,
        ms_of_flop=1e3 * flop / rate["matmul"],
        gb_per_step=moved / 1e9,
        copy_gb_per_s=rate["copy"] / 1e9,
        ms_of_bytes=1e3 * moved / rate["copy"],
        ms_measured=table["tinydiff"]["ms_per_step"],
    )
    row = about(
        device,
        precision="bf16 autocast" if bf16 else "fp32",
        batch=batch,
        rounds=a.rounds,
        steps_per_round=a.steps,
        contenders=table,
        floor_of_ours={k: round(v, 3) for k, v in floor.items()},
        muon_ms_per_step=round(1e3 * median(times["muon"]), 1),
        profile_of_ours=shares(steps["tinydiff"], device),
    )
    report(row, "step", a.out)
    print(
        "ours: {ms_measured:,.0f} ms; at the least {ms_of_flop:,.0f} ms for {gflop_per_step:,.0f} GFLOP at {matmul_gflop_per_s:,.0f} GFLOP/s, {ms_of_bytes:,.0f} ms for {gb_per_step:.2f} GB at {copy_gb_per_s:.1f} GB/s".format(
            **floor
        )
    )
    print(f"a step of Muon alone takes {row['muon_ms_per_step']:,.0f} ms, whatever the batch")
    print(
        "where its time goes: "
        + ", ".join(f"{k} {v:.0%}" for k, v in row["profile_of_ours"].items())
    )

"""DDIM with classifier-free guidance, beside lucidrains' denoising-diffusion-pytorch and diffusers, written as JSON.

usage: python benchmarks/sample.py [--images N] [--steps 50] [--rounds 3] [--device auto] [--out results/benchmarks/sample.json]

Untrained, class-conditional networks of the layout of `train_step.py` (64, 128 and 128 channels at 32, 16 and 8 pixels)
make 32x32 images from noise with labels, guidance scale 3 and no added noise (η = 0):
- tinydiff: `ddim` and `cfg`, both guesses in one batch, the network as sample.py has it (channels_last, bf16 where the
  hardware has it, the states in fp32).
- lucidrains: Unet and GaussianDiffusion of classifier_free_guidance with `sampling_timesteps` and `cond_scale=3`. Its two
  guesses are two calls; its attention is linear but for the middle.
- diffusers: UNet2DModel with a class embedding and DDIMScheduler in the usual loop, both guesses in one batch.
"As it comes" is each library's default: fp32, NCHW; guidance rescaled in lucidrains, heads of 8 channels in diffusers.
"Equal" gives them our precision and the memory format of the two that a short trial finds faster for them; it spares
lucidrains the rescaling (`rescaled_phi=0`; its projection in float64 stays, as `sample` has no switch for it) and
gives diffusers heads of 64 channels. All are in eval mode, not compiled. They run in turn, in another order each
round; times are medians, ratios are medians of the ratios within a round. FLOP are those of all calls of the network.
"""

import argparse
from functools import partial

import torch
from denoising_diffusion_pytorch import classifier_free_guidance as cfg_lucidrains
from diffusers import DDIMScheduler, UNet2DModel
from side_by_side import about, count, faster, in_turn, report, rows

from tinydiff.cli import autocast, pick_device
from tinydiff.ddim import ddim
from tinydiff.forward import sample
from tinydiff.guidance import cfg
from tinydiff.schedule import linear_schedule
from tinydiff.train import use_bf16
from tinydiff.unet import UNet

CLASSES, W = 10, 3.0


def tinydiff(c, steps, precision):
    "Our network and a function that draws an image for each label."
    net, sched = (
        UNet(num_classes=CLASSES).to(c.device, memory_format=torch.channels_last).eval(),
        linear_schedule(),
    )
    model = cfg(autocast(net, precision), W)
    return net, lambda: sample(
        ddim(model, sched, torch.randn(len(c), 3, 32, 32, device=c.device), c, steps=steps),
        progress=False,
    )


def lucidrains(c, steps, precision="fp32", fmt=torch.contiguous_format, equal=False):
    "As the example of its module has it."
    net = cfg_lucidrains.Unet(dim=64, dim_mults=(1, 2, 2), num_classes=CLASSES)
    model = (
        cfg_lucidrains.GaussianDiffusion(
            net, image_size=32, sampling_timesteps=steps, ddim_sampling_eta=0.0
        )
        .to(c.device, memory_format=fmt)
        .eval()
    )

    def run():
        with torch.autocast(c.device.type, torch.bfloat16, enabled=precision == "bf16"):
            return model.sample(c, cond_scale=W, **dict(rescaled_phi=0.0) if equal else {})

    return net, run


def diffusers(c, steps, precision="fp32", fmt=torch.contiguous_format, equal=False):
    "As its pipelines with guidance have it."
    net = (
        UNet2DModel(
            sample_size=32,
            block_out_channels=(64, 128, 128),
            layers_per_block=1,
            attention_head_dim=64 if equal else 8,
            num_class_embeds=CLASSES + 1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )
        .to(c.device, memory_format=fmt)
        .eval()
    )
    sched = DDIMScheduler(num_train_timesteps=1000)
    sched.set_timesteps(steps)

    @torch.no_grad()
    def run():
        x, both = (
            torch.randn(len(c), 3, 32, 32, device=c.device),
            torch.cat([torch.full_like(c, CLASSES), c]),
        )
        for t in sched.timesteps:
            with torch.autocast(c.device.type, torch.bfloat16, enabled=precision == "bf16"):
                eps_u, eps_c = net(torch.cat([x, x]), t, class_labels=both).sample.float().chunk(2)
            x = sched.step(eps_u + W * (eps_c - eps_u), t, x).prev_sample
        return x

    return net, run


if __name__ == "__main__":
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--images", type=int, help="images at a time (default: 2 on a CPU, 32 on a GPU)")
    p.add_argument("--steps", type=int, default=50)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    p.add_argument("--out", default="results/benchmarks/sample.json")
    a = p.parse_args()
    device = pick_device(a.device)
    images = a.images or (32 if device.type == "cuda" else 2)
    c, contenders, steps = torch.arange(images, device=device) % CLASSES, {}, {}
    cfg_lucidrains.tqdm = partial(cfg_lucidrains.tqdm, disable=True)
    precision = "bf16" if use_bf16("auto", device) else "fp32"

    def enter(name, make, net, step, fmt):
        work = count(make(c, 2)[1]) / 2 * a.steps
        contenders[name] = dict(
            parameters=sum(v.numel() for v in net.parameters()),
            gflop_per_image=work / images / 1e9,
            memory_format=fmt,
        )
        steps[name] = step

    ours = partial(tinydiff, precision=precision)
    enter("tinydiff", ours, *ours(c, a.steps), "NHWC")
    for f in (lucidrains, diffusers):
        enter(f"{f.__name__}, as it comes", f, *f(c, a.steps), "NCHW")
    for f in (lucidrains, diffusers):
        equal = partial(f, precision=precision, equal=True)
        *_, fmt = faster(lambda fmt: equal(c, 2, fmt=fmt), device)
        enter(
            f"{f.__name__}, equal",
            equal,
            *equal(
                c, a.steps, fmt=dict(NCHW=torch.contiguous_format, NHWC=torch.channels_last)[fmt]
            ),
            fmt,
        )
    times = in_turn(steps, a.rounds, device)
    table = rows(contenders, times, images, "batch")
    report(
        about(
            device,
            precision="bf16 autocast" if precision == "bf16" else "fp32",
            sampler="ddim",
            steps=a.steps,
            w=W,
            images=images,
            rounds=a.rounds,
            contenders=table,
        ),
        "batch",
        a.out,
    )

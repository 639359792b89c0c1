"""DDIM with classifier-free guidance, beside lucidrains' denoising-diffusion-pytorch and diffusers, written as JSON.

usage: python benchmarks/sample.py [--images N] [--steps 50] [--rounds 3] [--device auto] [--out results/benchmarks/sample.json]

Untrained, class-conditional networks of the layout of `train_step.py` (64, 128 and 128 channels at 32, 16 and 8 pixels)
make 32x32 images from noise with labels, guidance scale 3 and no added noise (η = 0):
- tinydiff: `ddim` and `cfg`, both guesses in one batch, the network as `load` returns it (channels_last).
- lucidrains: Unet and GaussianDiffusion of classifier_free_guidance with `sampling_timesteps` and `cond_scale=3`. Its two
  guesses are two calls; its attention is linear but for the middle. `rescaled_phi=0` spares it the rescaling that it
  does by default; the projection in float64 stays, as `sample` has no switch for it.
- diffusers: UNet2DModel with a class embedding and DDIMScheduler in the usual loop, both guesses in one batch.
All are fp32, in eval mode, not compiled; lucidrains and diffusers get the memory format of the two that a short trial
finds faster for them. They run in turn, in another order each round; times are medians, ratios are medians of the
ratios within a round. FLOP are those of all calls of the network.
"""
import argparse
from functools import partial

import torch
from denoising_diffusion_pytorch import classifier_free_guidance as cfg_lucidrains
from diffusers import DDIMScheduler, UNet2DModel
from side_by_side import about, count, faster, in_turn, report, rows

from tinydiff.cli import pick_device
from tinydiff.ddim import ddim
from tinydiff.ddpm import sample
from tinydiff.guidance import cfg
from tinydiff.schedule import linear_schedule
from tinydiff.unet import UNet

CLASSES, W = 10, 3.0


def tinydiff(c, steps, fmt=torch.channels_last):
    "Our network and a function that draws an image for each label."
    net, sched = UNet(num_classes=CLASSES).to(c.device, memory_format=fmt).eval(), linear_schedule()
    return net, lambda: sample(ddim(cfg(net, W, CLASSES), sched, torch.randn(len(c), 3, 32, 32, device=c.device), c, steps=steps), progress=False)


def lucidrains(c, steps, fmt):
    "As the example of its module has it."
    net = cfg_lucidrains.Unet(dim=64, dim_mults=(1, 2, 2), num_classes=CLASSES)
    model = cfg_lucidrains.GaussianDiffusion(net, image_size=32, sampling_timesteps=steps, ddim_sampling_eta=0.0).to(c.device, memory_format=fmt).eval()
    return net, lambda: model.sample(c, cond_scale=W, rescaled_phi=0.0)


def diffusers(c, steps, fmt):
    "As its pipelines with guidance have it."
    net = UNet2DModel(
        sample_size=32, block_out_channels=(64, 128, 128), layers_per_block=1, attention_head_dim=64, num_class_embeds=CLASSES + 1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D")).to(c.device, memory_format=fmt).eval()
    sched = DDIMScheduler(num_train_timesteps=1000)
    sched.set_timesteps(steps)

    @torch.no_grad()
    def run():
        x, both = torch.randn(len(c), 3, 32, 32, device=c.device), torch.cat([torch.full_like(c, CLASSES), c])
        for t in sched.timesteps:
            eps_u, eps_c = net(torch.cat([x, x]), t, class_labels=both).sample.chunk(2)
            x = sched.step(eps_u + W * (eps_c - eps_u), t, x).prev_sample
        return x
    return net, run


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    for f in (tinydiff, lucidrains, diffusers):
        *_, name = (None, "NHWC") if f is tinydiff else faster(partial(f, c, 2), device)
        fmt = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}[name]
        net, steps[f.__name__] = f(c, a.steps, fmt)
        work = count(f(c, 2, fmt)[1]) / 2 * a.steps  # warms up, too
        contenders[f.__name__] = dict(parameters=sum(v.numel() for v in net.parameters()), gflop_per_image=work / images / 1e9, memory_format=name)
    times = in_turn(steps, a.rounds, device)
    table = rows(contenders, times, images, "batch")
    report(about(device, precision="fp32", sampler="ddim", steps=a.steps, w=W, images=images, rounds=a.rounds, contenders=table), "batch", a.out)

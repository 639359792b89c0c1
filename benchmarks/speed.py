"""Speed and memory beside other libraries: a training step and a sampler, as ratios, in one run.

usage: python benchmarks/speed.py [train sample wait heap live] [--images N] [--rounds 5]
                                  [--steps 50] [--device auto] [--out results/benchmarks]
       python benchmarks/speed.py quality [--minutes 60] [--n 1000] [--data data]

Writes train_step.json, sample.json, wait.json, heap.json, live.json and quality.json into --out.
The networks have 64, 128 and 128 channels at 32, 16 and 8 pixels, attention at 16 and 8, and
nearly the same FLOP per image:
- tinydiff: `UNet()`, 2 blocks a level. bf16 where the hardware has it; torch.compile on a GPU.
- lucidrains: `Unet(dim=64, dim_mults=(1, 2, 2))` of denoising-diffusion-pytorch, 2 blocks a
  level; its attention at 32 and 16 is linear.
- diffusers: `UNet2DModel`, 1 layer per block and 2 on the way up.
- smalldiffusion: `Unet(ch=64, ch_mult=(1, 2, 2))`, 2 blocks a level and 3 on the way up; it has
  more FLOP than the others, so read its FLOP/s too.

train: a batch drawn from 10,000 random uint8 images in memory, noise, loss, gradient, clipping,
optimizer, average of the weights, each as the library's own trainer has it (smalldiffusion has no
clipping and no average). Left out are data loaders, learning rates and reading the loss.
sample: 32x32 images from noise and labels with DDIM, eta = 0, guidance scale 3. Both guesses are
one batch, but in lucidrains two calls. The networks are in eval mode and not compiled.

wait: our training step on a CPU, in new processes with OMP_WAIT_POLICY passive (what tinydiff sets)
and active, on the machine as it is and with a busy process for each core.

heap: our training step and 100 images of checkpoints/cifar10 (20 steps of DDIM with labels) on a
CPU, in new processes: with glibc's defaults, and as `keep_memory` sets them in the programs.

live: one call of the network of each checkpoint, with PyTorch and with the WebAssembly of live/ in
Node: processor time of one core, the best of the rounds.

"As it comes" is each library's default: fp32, NCHW, not compiled; heads of 8 channels in
diffusers, guidance rescaled in lucidrains. "Equal" gives them what ours has: its precision, fused
optimizer and torch.compile, heads of 64 channels in diffusers, guidance as it is in lucidrains;
and the memory format of the two that a short trial finds faster for them.

All run in one process, with `keep_memory`, in turn, in another order each round. Times are medians;
ratios are medians of the ratios within a round. Memory is what a step keeps for its gradient, per
image, and on a GPU the peak of the allocator. The floor is our FLOP over the rate of a large matrix
product in the same precision, timed in the same rounds, and so is a step of Muon on our network's
parameters.

quality: tinydiff (`train.py --config configs/cifar10-muon.yaml`, without classes), lucidrains and
diffusers are trained on CIFAR-10 for as many minutes each, one after the other, as they come and
with one seed, in one process with all cores: network, optimizer, schedule and draw of t all differ.
Their averages at a third, two thirds and the end (ours at a twelfth and a sixth too) are kept in
--keep, sampled from with each one's own DDIM of --steps steps, and scored by the same features
(FD-EffNetLite0, --n samples); quality.png has 20 samples of each at the end. What --keep and the
file hold is not done again. Nothing else is measured in the same call."""

import argparse
import copy
import json
import math
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median

import smalldiffusion
import torch
import torch.nn.functional as F
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from denoising_diffusion_pytorch import classifier_free_guidance as guided_lucidrains
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from ema_pytorch import EMA as EMAPytorch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from tinydiff import EMA, Muon, Recipe, UNet, cfg, ddim, fit, linear_schedule, load, sample
from tinydiff.cli import write_image
from tinydiff.data import batches, cifar10, grid, to_uint8
from tinydiff.fid import evaluate
from tinydiff.run import find, keep_memory, write_text
from tinydiff.train import use_bf16

CLASSES, W = 10, 3.0
FORMATS = dict(NCHW=torch.contiguous_format, NHWC=torch.channels_last)
OURS = "NHWC"  # the format of a run


def autocast(device, bf16):
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def draw(x, batch):
    "A batch in [0, 1], half of it mirrored."
    x0 = x[torch.randint(len(x), (batch,), device=x.device)].float() / 255
    return torch.where(torch.rand(batch, 1, 1, 1, device=x.device) < 0.5, x0.flip(-1), x0)


class Ours:
    "Steps of `fit` on `batches`; `ddim` of `cfg`."

    name = "tinydiff"

    def net(self, classes, equal):
        return UNet(num_classes=classes)

    def trainer(self, net, x, batch, bf16, equal):
        r = Recipe(batch=batch, precision="bf16" if bf16 else "fp32")
        opt = torch.optim.Adam(net.parameters(), 4e-3, fused=True)
        data = batches(x, None, batch, device=x.device)
        steps = fit(net, linear_schedule(), data, r, EMA(net, r.ema), opt)
        return lambda: next(steps)

    def sampler(self, net, c, steps, bf16, equal):
        sched, cast = linear_schedule(), autocast(c.device, bf16)

        def model(x, t, c=None):
            with cast:
                return net(x, t, c).float()

        def draw_images():
            xT = torch.randn(len(c), 3, 32, 32, device=c.device)
            return sample(ddim(cfg(model, W), sched, xT, c, steps=steps), progress=False)

        return torch.no_grad()(draw_images)


class Lucidrains:
    "The inner step of `Trainer`, whose average moves every 10th step; `sample` with labels."

    name = "lucidrains"

    def net(self, classes, equal):
        if classes:
            return guided_lucidrains.Unet(dim=64, dim_mults=(1, 2, 2), num_classes=classes)
        return Unet(dim=64, dim_mults=(1, 2, 2))

    def trainer(self, net, x, batch, bf16, equal):
        model, cast = GaussianDiffusion(net, image_size=32).to(x.device), autocast(x.device, bf16)
        fused = equal or None
        opt = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.99), fused=fused)
        ema = EMAPytorch(model, beta=0.995, update_every=10)

        def step():
            with cast:
                loss = model(draw(x, batch))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            opt.zero_grad()
            ema.update()

        step.opt, step.average = opt, lambda: copy.deepcopy(ema.ema_model.model.state_dict())
        return step

    def rate(self, k, done):
        return 1e-4

    def images(self, net, n, steps):
        how = dict(image_size=32, sampling_timesteps=steps, ddim_sampling_eta=0.0)
        return GaussianDiffusion(net, **how).eval().sample(n) * 2 - 1

    def sampler(self, net, c, steps, bf16, equal):
        how = dict(image_size=32, sampling_timesteps=steps, ddim_sampling_eta=0.0)
        model = guided_lucidrains.GaussianDiffusion(net, **how).to(c.device).eval()
        cast, scale = autocast(c.device, bf16), dict(rescaled_phi=0.0) if equal else {}

        def draw_images():
            with cast:
                return model.sample(c, cond_scale=W, **scale)

        return draw_images


class Diffusers:
    "The step of its train_unconditional.py; the usual loop of its pipelines with guidance."

    name = "diffusers"

    def net(self, classes, equal):
        return UNet2DModel(
            sample_size=32,
            block_out_channels=(64, 128, 128),
            layers_per_block=1,
            attention_head_dim=64 if equal else 8,
            num_class_embeds=classes + 1 if classes else None,
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )

    def trainer(self, net, x, batch, bf16, equal):
        sched, cast = DDPMScheduler(num_train_timesteps=1000), autocast(x.device, bf16)
        how = dict(lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, fused=equal or None)
        opt = torch.optim.AdamW(net.parameters(), **how)
        ema = EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True, power=0.75)

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

        def average():
            averaged = copy.deepcopy(net)
            ema.copy_to(averaged.parameters())
            return averaged.state_dict()

        step.opt, step.average = opt, average
        return step

    def rate(self, k, done):
        "At step k, when a part `done` of the time is over: its cosine and warm-up."
        return 1e-4 * min(1, k / 500) * (1 + math.cos(math.pi * min(done, 1))) / 2

    @torch.no_grad()
    def images(self, net, n, steps):
        sched, x = DDIMScheduler(num_train_timesteps=1000), torch.randn(n, 3, 32, 32)
        sched.set_timesteps(steps)
        for t in sched.timesteps:
            x = sched.step(net(x, t).sample, t, x).prev_sample
        return x

    def sampler(self, net, c, steps, bf16, equal):
        sched, cast = DDIMScheduler(num_train_timesteps=1000), autocast(c.device, bf16)
        sched.set_timesteps(steps)
        both = torch.cat([torch.full_like(c, CLASSES), c])

        def draw_images():
            x = torch.randn(len(c), 3, 32, 32, device=c.device)
            for t in sched.timesteps:
                with cast:
                    eps = net(torch.cat([x, x]), t, class_labels=both).sample.float()
                eps_u, eps_c = eps.chunk(2)
                x = sched.step(eps_u + W * (eps_c - eps_u), t, x).prev_sample
            return x

        return torch.no_grad()(draw_images)


class Smalldiffusion:
    "The body of its training_loop; its `samples`, whose guidance scale is W - 1."

    name = "smalldiffusion"

    def net(self, classes, equal):
        label = smalldiffusion.CondEmbedderLabel(256, classes) if classes else None
        how = dict(ch=64, ch_mult=(1, 2, 2), attn_resolutions=(16, 8), cond_embed=label)
        return smalldiffusion.Unet(32, 3, 3, **how)

    def trainer(self, net, x, batch, bf16, equal):
        sched, cast = smalldiffusion.ScheduleDDPM(), autocast(x.device, bf16)
        opt = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=equal or None)

        def step():
            opt.zero_grad()
            x0, sigma, eps, _ = smalldiffusion.generate_train_sample(draw(x, batch) * 2 - 1, sched)
            with cast:
                loss = F.mse_loss(net(x0 + sigma * eps, sigma).float(), eps)
            loss.backward()
            opt.step()

        return step

    def sampler(self, net, c, steps, bf16, equal):
        sigmas = smalldiffusion.ScheduleDDPM().sample_sigmas(steps)
        cast = autocast(c.device, bf16)

        def draw_images():
            xt = torch.randn(len(c), 3, 32, 32, device=c.device) * sigmas[0]
            with cast:
                *_, x = smalldiffusion.samples(net, sigmas, cfg_scale=W - 1, xt=xt, cond=c)
            return x

        return draw_images


OTHERS = [Lucidrains(), Diffusers(), Smalldiffusion()]


class Training:
    "What is timed: a step on `images` images."

    file, unit = "train_step", "step"

    def __init__(self, images, steps, device):
        self.images, self.device = images or (256 if device.type == "cuda" else 16), device
        self.x = torch.randint(256, (10_000, 3, 32, 32), dtype=torch.uint8, device=device)
        self.about = dict(batch=self.images)

    def make(self, library, equal, bf16, fmt, compiled=True):
        net = library.net(0, equal).to(self.device, memory_format=fmt)
        step = library.trainer(net, self.x, self.images, bf16, equal)
        if equal and compiled and self.device.type == "cuda":
            net.compile()
        return net, step

    def measure(self, library):
        "FLOP and bytes kept for the gradient, of one image, in fp32."
        net, step = self.make(library, False, False, torch.contiguous_format)
        kept = saved_bytes(net, step) / self.images
        return dict(gflop_per_image=flop(step) / self.images / 1e9, saved_mb_per_image=kept / 1e6)


class Sampling:
    "What is timed: `steps` steps for `images` images."

    file, unit = "sample", "batch"

    def __init__(self, images, steps, device):
        images = images or (32 if device.type == "cuda" else 2)
        self.images, self.steps, self.device = images, steps, device
        self.c = torch.arange(images, device=device) % CLASSES
        self.about = dict(sampler="ddim", steps=steps, w=W, images=images)

    def make(self, library, equal, bf16, fmt, steps=None):
        net = library.net(CLASSES, equal).to(self.device, memory_format=fmt).eval()
        return net, library.sampler(net, self.c, steps or self.steps, bf16, equal)

    def measure(self, library):
        "FLOP of all calls of the network for one image."
        step = self.make(library, False, False, torch.contiguous_format, 2)[1]
        return dict(gflop_per_image=flop(step) / 2 * self.steps / self.images / 1e9)


def flop(step):
    "FLOP of one call: matrix products and convolutions; attention as the products that it is."
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def saved_bytes(net, step):
    "Bytes of the activations that autograd keeps in one call."
    kept, own = {}, {p.untyped_storage().data_ptr() for p in net.parameters()}

    def pack(v):
        kept[v.untyped_storage().data_ptr()] = v.untyped_storage().nbytes()
        return v

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda v: v):
        step()
    return sum(size for place, size in kept.items() if place not in own)


def seconds(step, device):
    "Seconds that one call takes."
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turn(steps, rounds, device):
    "Seconds of each of the named functions, one value per round, each round in another order."
    times, names = {name: [] for name in steps}, list(steps)
    for k in tqdm(range(rounds), desc="rounds", leave=False):
        first = k % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(seconds(steps[name], device))
    return times


def faster(make, device):
    "The name of the memory format for which `make(format)` is faster: the best of three calls."
    steps = {name: make(fmt) for name, fmt in FORMATS.items()}
    in_turn(steps, 1, device)  # warms up
    best = {name: min(times) for name, times in in_turn(steps, 3, device).items()}
    return min(best, key=best.get)


def peak(step, device):
    "The most bytes that were allocated during a call, on a GPU."
    if device.type != "cuda":
        return {}
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    seconds(step, device)
    return dict(gpu_mb_above_rest=round((torch.cuda.max_memory_allocated() - before) / 1e6, 1))


def contenders(job, bf16):
    "Yields name, library, network, step and memory format: ours, then the others both ways."
    ours = Ours()
    yield ours.name, ours, *job.make(ours, True, bf16, FORMATS[OURS]), OURS
    for library in OTHERS:
        net, step = job.make(library, False, False, torch.contiguous_format)
        yield f"{library.name}, as it comes", library, net, step, "NCHW"
    for library in OTHERS:

        def make(fmt, library=library):
            return job.make(library, True, bf16, fmt)

        best = faster(lambda fmt, make=make: make(fmt)[1], job.device)
        yield f"{library.name}, equal", library, *make(FORMATS[best]), best


def extras(job, bf16):
    "Functions that are timed in the same rounds: a large matrix product, and a step of Muon."
    n = 8192 if job.device.type == "cuda" else 2048
    a = torch.randn(n, n, device=job.device, dtype=torch.bfloat16 if bf16 else torch.float32)
    muon = Muon(UNet().to(job.device))
    for group in muon.param_groups:
        for p in group["params"]:
            p.grad = torch.randn_like(p)
    return {"matrix product": lambda: a @ a, "muon": muon.step}, 2 * n**3


def shares(step, device):
    "The ten operators that take most of a step's time by themselves, and their shares of it."
    kind = "CUDA" if device.type == "cuda" else "CPU"
    with torch.profiler.profile(activities=[getattr(torch.profiler.ProfilerActivity, kind)]) as p:
        step()
    own = "self_device_time_total" if kind == "CUDA" else "self_cpu_time_total"
    times = {e.key: getattr(e, own) for e in p.key_averages()}
    largest = sorted(times, key=times.get, reverse=True)[:10]
    return {name: round(times[name] / sum(times.values()), 3) for name in largest}


def row_of(what, times, first, images, unit):
    "Medians of a contender's rounds, and its time as a multiple of ours, round by round."
    t, ratio = median(times), sorted(a / b for a, b in zip(times, first))
    return what | {
        f"ms_per_{unit}": round(1e3 * t, 1),
        "img_per_s": round(images / t, 3),
        "gflop_per_s": round(what["gflop_per_image"] * images / t, 1),
        "time_over_ours": round(median(ratio), 3),
        "time_over_ours_range": [round(ratio[0], 3), round(ratio[-1], 3)],
        "seconds_by_round": [round(v, 4) for v in times],
    }


def compare(job, rounds):
    "Everything that is measured of one job."
    bf16 = use_bf16("auto", job.device)
    measured = {library.name: job.measure(library) for library in [Ours(), *OTHERS]}
    facts, steps = {}, {}
    for name, library, net, step, fmt in contenders(job, bf16):
        size = dict(parameters=sum(p.numel() for p in net.parameters()), memory_format=fmt)
        facts[name], steps[name] = size | measured[library.name], step
    more, work = extras(job, bf16)
    in_turn(steps | more, 1, job.device)  # warms up
    for name, step in steps.items():
        facts[name] |= peak(step, job.device)
    times = in_turn(steps | more, rounds, job.device)
    ours = times["tinydiff"]
    table = {k: row_of(facts[k], times[k], ours, job.images, job.unit) for k in steps}
    flop_per_call = facts["tinydiff"]["gflop_per_image"] * job.images * 1e9
    rate = work / median(times["matrix product"])
    floor = dict(
        gflop_per_call=flop_per_call / 1e9,
        matmul_gflop_per_s=rate / 1e9,
        ms_of_flop=1e3 * flop_per_call / rate,
        ms_measured=1e3 * median(ours),
    )
    return dict(
        precision="bf16 autocast" if bf16 else "fp32",
        rounds=rounds,
        **job.about,
        contenders=table,
        floor_of_ours={k: round(v, 3) for k, v in floor.items()},
        muon_ms_per_step=round(1e3 * median(times["muon"]), 1),
        profile_of_ours=shares(steps["tinydiff"], job.device),
    )


def in_new_process(*words, **env) -> dict:  # what `one` prints
    "Seconds and peak memory of our training step or sampler, in a process of its own."
    how = dict(env=os.environ | env, capture_output=True, check=True)
    return json.loads(subprocess.run([sys.executable, sys.argv[0], "one", *words], **how).stdout)


def waiting(rounds):
    "Seconds of our training step by wait policy, idle and beside busy processes; see above."
    seconds = {}
    for _ in tqdm(range(rounds), "wait", unit="round"):
        for busy, policy in product(("idle", "busy"), ("passive", "active")):
            spin = [sys.executable, "-c", "while True: pass"]
            n = os.cpu_count() if busy == "busy" else 0
            others = [subprocess.Popen(spin) for _ in range(n)]
            try:
                one = in_new_process("step", OMP_WAIT_POLICY=policy)
            finally:
                for other in others:
                    other.kill()
            seconds.setdefault(f"{busy}, {policy}", []).append(one["seconds"])
    ratios = {
        busy: [a / b for a, b in zip(seconds[f"{busy}, passive"], seconds[f"{busy}, active"])]
        for busy in ("idle", "busy")
    }
    by_policy = {k: round(median(v), 3) for k, v in ratios.items()}
    return dict(rounds=rounds, seconds=seconds, time_passive_over_active=by_policy)


def heap(rounds):
    "Time and memory with the allocator's defaults and with `keep_memory`; see above."
    rows, ratios = [], {}
    for _, what in tqdm([*product(range(rounds), ("step", "sample"))], "heap"):
        told = {how: in_new_process(what, how) for how in ("default", "kept")}
        rows.append(dict(what=what) | told)
    for what, key in product(("step", "sample"), ("seconds", "peak_mib")):
        pairs = [row["kept"][key] / row["default"][key] for row in rows if row["what"] == what]
        ratios.setdefault(what, {})[key] = round(median(pairs), 3)
    return dict(rounds=rounds, rows=rows, kept_over_default=ratios)


def one(what, how="default"):
    "Print the seconds of our training step or sampler on the CPU, and the memory of the process."
    if how == "kept":
        keep_memory()
    if what == "step":
        job = Training(None, None, torch.device("cpu"))
        act = job.make(Ours(), True, use_bf16("auto", job.device), FORMATS[OURS])[1]
    else:
        model, sched, _ = load(CLONE / "checkpoints" / "cifar10")
        noise, labels = torch.randn(100, 3, 32, 32), torch.arange(100) % 10

        def act():
            sample(ddim(model, sched, noise, labels, steps=20), progress=False)

    times = [seconds(act, torch.device("cpu")) for _ in range(6 if what == "step" else 2)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # on Linux
    print(json.dumps(dict(seconds=median(times[1:]), peak_mib=round(peak))))


CLONE = Path(__file__).resolve().parent.parent
CALLS = 10  # of the network, in a round
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
    question = dict(code=IN_NODE, given=given, wasm=str(CLONE / "live" / "kernels.wasm"))
    command = ["node", CLONE / "live" / "node.js"]
    asked = dict(input=json.dumps(question), text=True, stdout=subprocess.PIPE, check=True)
    return json.loads(subprocess.run(command, **asked).stdout)


@torch.no_grad()
def in_torch(net, x: torch.Tensor, rounds: int) -> float:  # milliseconds
    t, best = torch.tensor([500]), []
    for _ in range(rounds):
        before = time.process_time()
        for _ in range(CALLS):
            net(x, t)
        best.append((time.process_time() - before) * 1000 / CALLS)
    return min(best)


def calls(rounds: int) -> dict:
    "What one call costs, for each checkpoint."
    torch.set_num_threads(1)
    start, rows = time.time(), []
    for name in ("cifar10", "celeba64"):
        folder = CLONE / "checkpoints" / name
        model, _, config = load(folder)
        x = torch.zeros(1, 3, *[config["model"]["image_size"]] * 2)
        row = dict(checkpoint=name, pytorch_ms=round(in_torch(model.net, x, rounds), 2))
        rows.append(row | dict(wasm_ms=round(in_node(folder, x.numel(), rounds), 2)))
    node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    seconds = round(time.time() - start, 1)
    return dict(repeats=rounds, calls=rows, node=node, seconds=seconds)


# Quality after so many minutes


class ByCommand:
    "What `train.py` makes in so many minutes: its averages at the marks."

    name, marks, drawn = "tinydiff", (1 / 12, 1 / 6, 1 / 3, 2 / 3, 1), 100  # drawn at a time
    recipe = ["--config", "configs/cifar10-muon.yaml", "--set", "model.num_classes=0"]

    def averages(self, x, a):
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, CLONE / "train.py", *self.recipe, "train.save=5000"]
            command += ["--data", a.data, "--minutes", str(a.minutes), "--out", out]
            begun, path = time.time(), Path(out, "ema.pt")
            process = subprocess.Popen([*command, "--device", "cpu"])
            for mark in self.marks:
                while process.poll() is None and not (
                    time.time() - begun > 60 * mark * a.minutes and path.exists()
                ):
                    time.sleep(0.2)
                if mark == 1:
                    process.wait()  # the last save, and a grid of samples, which counts
                if process.poll():
                    raise RuntimeError("train.py failed")
                minutes, now = (time.time() - begun) / 60, Path(out, "now.pt")
                shutil.copy(path, now)  # train.py goes on, and writes another
                yield minutes, find(now)[2], load(now)[:2]

    def images(self, found, n, steps):
        model, sched = found
        xT = torch.randn(n, 3, 32, 32)
        return sample(ddim(model, sched, xT, None, steps), progress=False)


class InProcess:
    "The training step of another library, as it comes, on all cores."

    batch, marks, drawn = 16, (1 / 3, 2 / 3, 1), 25  # the batch of both libraries' trainers

    def __init__(self, theirs):
        self.theirs, self.name = theirs, theirs.name

    def averages(self, x, a):
        k, begun = 0, time.time()
        step = self.theirs.trainer(self.theirs.net(0, False), x, self.batch, False, False)
        for mark in self.marks:
            while (done := (time.time() - begun) / 60 / a.minutes) < mark:
                k += 1
                for group in step.opt.param_groups:
                    group["lr"] = self.theirs.rate(k, done)
                step()
            yield done * a.minutes, k * self.batch, step.average()

    def images(self, weights, n, steps):
        net = self.theirs.net(0, False).to(memory_format=torch.channels_last)  # twice as fast
        net.load_state_dict(weights)
        return self.theirs.images(net, n, steps)


def quality(a, device):
    "Distance after so many minutes: all are trained, then all are scored."
    from trials import reference

    data = dict(name="cifar10", dir=a.data)
    shape = dict(image_size=32, channels=3, num_classes=0)
    features, real = reference(json.dumps(dict(data=data, model=shape)), device)
    x = cifar10(a.data)[0]
    path, keep = Path(a.out, "quality.json"), Path(a.keep)
    keep.mkdir(parents=True, exist_ok=True)
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    if any((r["budget"], r["n"], r["steps"]) != (a.minutes, a.n, a.steps) for r in rows):
        sys.exit(f"error: {path} has other --minutes, --n or --steps: name another --out")
    everyone = ByCommand(), InProcess(Lucidrains()), InProcess(Diffusers())
    kept = {who: keep / f"{who.name}-{a.minutes:g}.pt" for who in everyone}
    for who in everyone:
        if not kept[who].exists():
            torch.manual_seed(0)
            averages = list(who.averages(x, a))
            torch.save((about(device), averages), kept[who])
    last = []
    for who in everyone:
        how, averages = torch.load(kept[who], weights_only=False)
        scored = sum(row["library"] == who.name for row in rows)
        for minutes, images, net in averages[scored:]:
            torch.manual_seed(0)
            sizes = [min(who.drawn, a.n - i) for i in range(0, a.n, who.drawn)]
            parts = [who.images(net, size, a.steps) for size in sizes]
            f = torch.cat([features.of(to_uint8(part)) for part in parts])
            row = how | dict(library=who.name, minutes=round(minutes, 2), budget=a.minutes)
            row |= dict(images=images, sampler="ddim", steps=a.steps)
            rows.append(row | evaluate(f, None, real))
            print(f"{who.name}, {minutes:.1f} minutes: {rows[-1]['distance']:.1f}", flush=True)
            write_text(json.dumps(rows, indent=1) + "\n", path)
        torch.manual_seed(0)
        last.append(who.images(averages[-1][2], 20, a.steps))
    write_image(grid(torch.cat(last), 10), path.with_suffix(".png"))


def about(device):
    "Command, hardware, threads and versions."
    cpu = f"{os.cpu_count()} CPU cores ({platform.machine()}), {torch.get_num_threads()} thread(s)"
    names = ("denoising-diffusion-pytorch", "diffusers", "smalldiffusion", "ema-pytorch")
    return dict(
        command=shlex.join(["python", *sys.argv]),
        hardware=torch.cuda.get_device_name() if device.type == "cuda" else cpu,
        cpu=torch.backends.cpu.get_cpu_capability(),
        load_at_the_end=round(os.getloadavg()[0], 1),
        torch=torch.__version__,
        libraries={name: version(name) for name in names},
    )


def show(row, unit):
    "The table of a job, and its floor."
    heads = f"| | Mparams | GF/image | ms per {unit} | img/s | GFLOP/s | time / ours |"
    print(heads + "\n|---|---|---|---|---|---|---|")
    for name, r in row["contenders"].items():
        cells = [f"{r['parameters'] / 1e6:.2f}", f"{r['gflop_per_image']:.2f}"]
        cells += [f"{r[f'ms_per_{unit}']:,.0f}", f"{r['img_per_s']:,.2f}"]
        cells += [f"{r['gflop_per_s']:,.0f}", f"{r['time_over_ours']:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |")
    floor = row["floor_of_ours"]
    print("ours: {ms_measured:,.0f} ms, its FLOP alone {ms_of_flop:,.0f} ms".format(**floor))


def main():
    formatter = argparse.RawDescriptionHelpFormatter
    p = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    jobs = dict(train=Training, sample=Sampling)
    p.add_argument("what", nargs="*", default=[], help="train, sample, wait, heap, live, quality")
    p.add_argument("--images", type=int, help="of a call (16 and 2 on a CPU, 256 and 32 on a GPU)")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=50, help="of the samplers")
    p.add_argument("--minutes", type=float, default=60, help="of training, for quality")
    p.add_argument("--n", type=int, default=1000, help="samples, for quality")
    p.add_argument("--keep", default="out/quality", help="folder for quality's networks")
    p.add_argument("--data", default="data")
    p.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    p.add_argument("--out", default="results/benchmarks", help="folder")
    a = p.parse_args()
    Path(a.out).mkdir(parents=True, exist_ok=True)
    if a.what[:1] == ["one"]:  # of `in_new_process`
        return one(*a.what[1:])
    if a.what == ["quality"]:
        return quality(a, torch.device("cpu"))
    alone = dict(wait=waiting, heap=heap, live=calls)
    if unknown := set(a.what) - {*jobs, *alone}:
        p.error(f"name train, sample, wait, heap, live, or quality alone, not {min(unknown)}")
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(auto if a.device == "auto" else a.device)
    guided_lucidrains.tqdm = lambda steps, **_: steps  # its progress bars
    order = [*jobs, *alone]  # what sets the number of threads is last
    for name in sorted(a.what or order, key=order.index):
        if name in alone:
            row, file = alone[name](a.rounds), name
            keys = "time_passive_over_active", "kept_over_default", "calls"
            print(*(row[k] for k in keys if k in row))
        else:
            keep_memory()
            job = jobs[name](a.images, a.steps, device)
            row, file = compare(job, a.rounds), job.file
            show(row, job.unit)
        where = torch.device("cpu") if name in alone else device
        text = json.dumps(about(where) | row, indent=1) + "\n"
        Path(a.out, f"{file}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

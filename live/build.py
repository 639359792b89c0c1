"""Make what live.html and the instruments in the chapters load.

    python live/build.py --wasm   # kernels.c -> kernels.wasm; needs clang and lld
    python live/build.py FOLDER   # scripts, live.css, tables, samples and checkpoints, for a site

live.js is one script of the parts beside this file, put together by esbuild, the kernels among
them as text. A page from disk may not fetch, so there the weights come as a script, too. The
instruments noise.js, paths.js and guide.js read the numbers of the package from tables.js; those
of budget.js stand in its page."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
ESBUILD = here.parent / ".ci" / "node_modules" / ".bin" / "esbuild"
CHECKPOINTS = "cifar10", "cifar10-weak", "celeba64", "celeba64-weak"
INSTRUMENTS = "noise", "paths", "guide", "budget"
GRIDS = {  # of samples, 8 by 8; the first of the two rows that are shown before a network loads
    "cifar10": ("dpmpp15_uniform_w3.png", 6),
    "celeba64": ("dpmpp15_uniform_w1.5_weak.png", 0),
}
PICTURES = dict(horse=711, car=616)  # of the test images that come with the package
# Another compiler may choose other instructions: this one made kernels.wasm.
COMPILER = "Debian clang version 14.0.6"
FLAGS = """--target=wasm32 -Os -msimd128 -mbulk-memory -fno-math-errno -nostdlib
-fvisibility=hidden -Wall -Wl,--no-entry -Wl,--export-dynamic -Wl,--import-memory -Wl,--strip-all
-Wl,-z,stack-size=32768"""


def compiler():
    "The first line of what clang says of itself; None without it, or without its linker."
    if not (shutil.which("clang") and shutil.which("wasm-ld")):
        return None
    told = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True)
    return told.stdout.splitlines()[0]


def make_wasm(out: Path):
    subprocess.run(["clang", *FLAGS.split(), "-o", out, here / "kernels.c"], check=True)


def text64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def bundle(name: str, **constants) -> str:
    "A source and all that it imports as one short script."
    define = [f"--define:{k}={json.dumps(v)}" for k, v in constants.items()]
    command = [
        ESBUILD,
        here / name,
        "--bundle",
        "--minify",
        "--target=es2019",
        "--loader:.wasm=base64",
        *define,
    ]
    done = subprocess.run([*command, "--charset=utf8"], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def checkpoint(name: str, out: Path):
    "The published files; and the same as a script, for a page without a server."
    out.mkdir(parents=True, exist_ok=True)
    source = here.parent / "checkpoints" / name
    for file in ("config.json", "model.safetensors"):
        shutil.copy(source / file, out)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    call = f'tinydiffCheckpoint({json.dumps(config)}, "{text64(source / "model.safetensors")}");\n'
    (out / "model.js").write_text(call, encoding="utf-8")


def samples(name: str, out: Path):
    "Two rows of a grid of samples."
    from PIL import Image

    file, row = GRIDS[name]
    im = Image.open(here.parent / "results" / name / file)
    size = im.width // 8
    im.crop((0, row * size, im.width, (row + 2) * size + im.width % 8)).save(out)


def tables() -> str:
    "Schedules, the spiral, even noise and two photographs, as the package has them, in base 64."
    import torch

    import tinydiff as td
    from tinydiff.data import cifar10_sample
    from tinydiff.forward import spiral

    def text(tensor):
        return base64.b64encode(tensor.numpy().tobytes()).decode()

    means, arm = spiral()
    alpha_bar = dict(linear=td.linear_schedule(), cosine=td.cosine_schedule())
    found = dict(alphaBar={name: text(sched.alpha_bar) for name, sched in alpha_bar.items()})
    sobol = torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(512, dtype=torch.float64)
    even = torch.special.ndtri(sobol).float()  # as in chapter 6
    found |= dict(means=text(means.double()), arm=text(arm.byte()), even=text(even))
    found |= dict(pictures={name: text(cifar10_sample()[0][i]) for name, i in PICTURES.items()})
    return f"window.tinydiffTables = {json.dumps(found)};\n"


def main(to: str):
    if to == "--wasm":
        make_wasm(here / "kernels.wasm")
        return
    out = Path(to)
    for name in CHECKPOINTS:
        checkpoint(name, out / name)
    for name in GRIDS:
        samples(name, out / f"{name}.png")
    script = bundle("page.js", WORKER=bundle("worker.js"))
    (out / "live.js").write_text(script, encoding="utf-8")
    (out / "tables.js").write_text(tables(), encoding="utf-8")
    for name in INSTRUMENTS:
        (out / f"{name}.js").write_text(bundle(f"{name}.js"), encoding="utf-8")
    shutil.copy(here / "live.css", out)


if __name__ == "__main__":
    main(*sys.argv[1:])

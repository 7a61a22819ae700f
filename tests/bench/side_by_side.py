"""`livr bench forward` and PyTorch + transformers one after the other in one run, on the same sizes and threads.

    make side-by-side ARGS="--layers 4 --tokens 1024"

Needs PyTorch; see tests/reference.py.
"""

import argparse
import json
import pathlib
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "tests"))
from reference import interpreter, threads  # noqa: E402

args = argparse.ArgumentParser()
args.add_argument("--shape", default="qwen2.5-vl-3b")
args.add_argument("--layers", default="4")
args.add_argument("--tokens", default="1024")
args.add_argument("--repeats", default="5")
args.add_argument("--decode", default="16")
args.add_argument("--python", help="an interpreter that has torch and transformers already")
args = args.parse_args()

python = interpreter(args.python)
subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=root, check=True)
env = threads()
sizes = ["--layers", args.layers, "--tokens", args.tokens, "--repeats", args.repeats, "--decode", args.decode]


def ours(dtype, kept):
    command = [root / "target/release/livr", "bench", "forward", "--shape", args.shape, *sizes]
    out = subprocess.run([*command, "--dtype", dtype, "--capture", kept, "--json"], env=env, check=True, stdout=-1)
    return json.loads(out.stdout)["runs"][0]


def theirs(dtype, attention):
    command = [python, root / "tests/bench/pytorch_forward.py", "--config", root / f"assets/shapes/{args.shape}.json"]
    command += [*sizes, "--dtype", dtype, "--attention", attention]
    out = subprocess.run(command, env=env, stdout=-1, stderr=-1)
    if out.returncode:
        print(out.stderr.decode()[-600:], file=sys.stderr)
        return None
    return json.loads(out.stdout.splitlines()[-1])


sides = [
    ("livr f32, no rows", lambda: ours("f32", "off")),
    ("torch f32 sdpa", lambda: theirs("f32", "sdpa")),
    ("livr bf16, no rows", lambda: ours("bf16", "off")),
    ("livr bf16, 16 rows", lambda: ours("bf16", "rows")),
    ("torch bf16 sdpa", lambda: theirs("bf16", "sdpa")),
    ("torch bf16 eager, all rows", lambda: theirs("bf16", "eager")),
    ("livr 8-bit, 16 rows", lambda: ours("q8", "rows")),
    ("livr 4-bit, 16 rows", lambda: ours("q4", "rows")),
]
print(f"{args.shape}, {args.layers} layers and blocks, {args.tokens} tokens, {threads} threads; medians of {args.repeats}")
print(f"{'':28} {'vision s':>10} {'prompt s':>10} {'token s':>10} {'peak GiB':>10}")
found = {}
for name, measure in sides:
    side = found[name] = measure()
    if side is None:
        print(f"{name:28} did not finish")
        continue
    print(
        f"{name:28} {side['vision_secs']:10.3f} {side['prompt_secs']:10.3f} "
        f"{side['decode_secs_per_token']:10.4f} {side['peak_bytes'] / 2**30:10.2f}",
        flush=True,
    )
for a, b in [
    ("livr f32, no rows", "torch f32 sdpa"),
    ("livr bf16, no rows", "torch bf16 sdpa"),
    ("livr bf16, 16 rows", "torch bf16 eager, all rows"),
]:
    if found[a] and found[b]:
        parts = ["vision_secs", "prompt_secs", "decode_secs_per_token", "peak_bytes"]
        speed = [found[b][part] / found[a][part] for part in parts]
        print(f"{a} against {b}: vision {speed[0]:.2f} x, prompt {speed[1]:.2f} x, decode {speed[2]:.2f} x as fast, "
              f"{1 / speed[3]:.2f} of its memory")

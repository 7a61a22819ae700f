"""`livr bench train` and the same steps in PyTorch one after the other in one run, on the same sizes and threads.

    make train-side-by-side ARGS="--batch 32"

Needs PyTorch and PEFT; see tests/reference.py.
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
args.add_argument("--batch", default="32")
args.add_argument("--steps", default="9")
args.add_argument("--python", help="an interpreter that has torch, transformers and peft already")
args = args.parse_args()
python, env = interpreter(args.python), threads()
subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=root, check=True)
sizes = ["--batch", args.batch, "--steps", args.steps]


def result(command):
    out = subprocess.run(command, env=env, stdout=-1, stderr=-1)
    if out.returncode:
        sys.exit(out.stderr.decode()[-600:])
    return json.loads(out.stdout[out.stdout.index(b"{"):])


print(f"{'':24}{'forward':>10}{'backward':>10}{'update':>10}{'examples/s':>12}{'GiB':>7}")
for trained in ["lora", "full"]:
    rates = []
    for name, command in [
        ("ours", [root / "target/release/livr", "bench", "train", "--trained", trained, "--json", *sizes]),
        ("PyTorch", [python, root / "tests/bench/pytorch_train.py", "--trained", trained, *sizes]),
    ]:
        r = result(command)
        rates.append(r["examples_per_sec"])
        print(f"{trained + ' ' + name:24}{r['forward_secs']:10.3f}{r['backward_secs']:10.3f}{r['update_secs']:10.3f}"
              f"{r['examples_per_sec']:12.1f}{r['peak_bytes'] / 2**30:7.2f}")
    print(f"{trained} ratio {rates[0] / rates[1]:.2f}")

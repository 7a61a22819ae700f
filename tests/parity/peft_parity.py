"""What training saves opens in PEFT and transformers, and computes the same there: run by `make parity`.

    python tests/parity/peft_parity.py [--record]

Trains on the checkpoints of tests/fixtures by the program itself, opens the result with the real libraries, and
compares the scores of the last prompt position and of a whole prompt. --record keeps one result and the libraries'
scores under tests/fixtures/trained, which the tests read without the libraries.

Needs torch, transformers and peft; see tests/reference.py.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from reference import interpreter  # noqa: E402

if interpreter() != sys.executable:
    os.execv(interpreter(), [interpreter(), *sys.argv])

from safetensors.torch import save_file

from scores import LIVR, compared  # noqa: E402

FIXTURES = ROOT / "tests/fixtures"
PROMPT = "Which point corresponds to REF? Select A or B."


def train(name, variant, updates, work):
    data = work / "data.jsonl"
    rows = []
    for i, target in enumerate(["A", "B", "A", "7"]):
        rows.append(dict(id=str(i), images=[str(FIXTURES / name / f"images/{i % 2}.png")], prompt=f"Which of {i}?", target=target))
    data.write_text("\n".join(json.dumps(r) for r in rows))
    recipe = work / "recipe.toml"
    recipe.write_text(f'''
model = "{FIXTURES / name / "model"}"
variant = "{variant}"
updates = "{updates}"
keep = "final"
[data]
train = ["{data}"]
[latents]
count = 4
[lora]
rank = 4
alpha = 8.0
[optimizer]
learning_rate = 1e-2
accumulation = 2
[[stages]]
mask = "bottleneck"
epochs = 2
[[stages]]
epochs = 3
''')
    out = work / f"{name}-{variant}-{updates}"
    subprocess.run([LIVR, "train", "--recipe", recipe, "--out", out], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return out


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--record", action="store_true")
    record = arguments.parse_args().record
    worst = 0.0
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        for name in ["qwen2_5_vl", "qwen3_vl", "qwen2_5_vl_big"]:
            for variant, updates in [("livr", "lora"), ("sft", "lora"), ("livr", "full"), ("prompt-tuning", "latents")]:
                out = train(name, variant, updates, work)
                base, adapter = (out, None) if updates == "full" else (FIXTURES / name / "model", out)
                images = [FIXTURES / name / f"images/{i}.png" for i in range(2)]
                for mask in ["standard", "bottleneck"]:
                    b, error = compared(f"{name} {variant} {updates}", base, adapter, images, PROMPT, mask, work)
                    worst = max(worst, error)
                    if record and (variant, updates, mask) == ("livr", "lora", "bottleneck") and name != "qwen2_5_vl_big":
                        kept = FIXTURES / "trained" / name
                        shutil.rmtree(kept, ignore_errors=True)
                        kept.mkdir(parents=True)
                        for file in ["adapter_config.json", "adapter_model.safetensors", "latent_rows.safetensors", "livr.json"]:
                            shutil.copy(out / file, kept)
                        config = json.loads((kept / "adapter_config.json").read_text())
                        config["base_model_name_or_path"] = None
                        (kept / "adapter_config.json").write_text(json.dumps(config, indent=2))
                        save_file({"logits": b[-8:].contiguous()}, str(kept / "golden.safetensors"))
    print(f"largest difference {worst:.1e} of the largest score")


if __name__ == "__main__":
    main()

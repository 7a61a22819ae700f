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

import torch
import transformers
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file, save_file

FIXTURES = ROOT / "tests/fixtures"
sys.path.insert(0, str(FIXTURES))
from make_cases import mask4d, roles  # noqa: E402

PROMPT = "Which point corresponds to REF? Select A or B."
LIVR = ROOT / "target/release/livr"


def classes(name):
    if "qwen3" in name:
        return transformers.Qwen3VLForConditionalGeneration
    return transformers.Qwen2_5_VLForConditionalGeneration


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


def ours(name, out, updates, mask, work):
    trace = work / "trace.safetensors"
    which = ["--model", out] if updates == "full" else ["--model", FIXTURES / name / "model", "--adapter", out]
    subprocess.run([LIVR, "trace", *which, "--image", FIXTURES / name / "images/0.png", FIXTURES / name / "images/1.png",
                    "--prompt", PROMPT, "--mask", mask, "--logits", "full", "--max-new-tokens", "1", "--out", trace],
                   check=True, stdout=subprocess.DEVNULL)
    return load_file(trace)["logits"]


def theirs(name, out, updates, mask):
    folder = FIXTURES / name
    base = out if updates == "full" else folder / "model"
    model = classes(name).from_pretrained(base, attn_implementation="eager", dtype=torch.float32)
    livr = json.loads((out / "livr.json").read_text()) if (out / "livr.json").exists() else None
    if updates == "lora":
        # Nothing but PEFT: the rows of the latents come with the adapter.
        model = PeftModel.from_pretrained(model, out)
    elif updates == "latents":
        rows = load_file(out / "latent_rows.safetensors")
        with torch.no_grad():
            model.get_input_embeddings().weight[rows["token_ids"]] = rows["latent_rows"]
    model.eval()
    tk = transformers.PreTrainedTokenizerFast.from_pretrained(base)
    latents = livr["latent_tokens"] if livr else []
    special = list(getattr(tk, "additional_special_tokens", []))
    tk.add_special_tokens({"additional_special_tokens": special + latents}, replace_extra_special_tokens=False)
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    ip = Qwen2VLImageProcessorPil.from_pretrained(base)
    images = [Image.open(folder / f"images/{i}.png").convert("RGB") for i in range(2)]
    enc = ip(images=images, return_tensors="pt")
    grid = enc["image_grid_thw"]
    content = [{"type": "image"}] * 2 + [{"type": "text", "text": PROMPT}]
    tk.chat_template = (folder / "model/chat_template.jinja").read_text()
    text = tk.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
    for g in grid:
        text = text.replace("<|image_pad|>", "<|PLACE|>" * int(g.prod() // 4), 1)
    text = text.replace("<|PLACE|>", "<|image_pad|>")
    if latents:
        text += "".join(latents) + livr["separator"]
    ids = tk(text, add_special_tokens=False)["input_ids"]
    image_id = tk.convert_tokens_to_ids("<|image_pad|>")
    lids = set(tk.convert_tokens_to_ids(latents)) if latents else set()
    t = torch.tensor([ids])
    mm = (t == image_id).int()
    core = model.base_model.model if updates == "lora" else model
    pos, _ = core.model.get_rope_index(t, mm_token_type_ids=mm, image_grid_thw=grid)
    with torch.no_grad():
        o = model(input_ids=t, attention_mask=mask4d(roles(ids, image_id, lids, len(ids)), mask.replace("-", "_")), position_ids=pos,
                  pixel_values=enc["pixel_values"], image_grid_thw=grid, mm_token_type_ids=mm, use_cache=False)
    return o.logits[0]


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
                for mask in ["standard", "bottleneck"]:
                    a, b = ours(name, out, updates, mask, work), theirs(name, out, updates, mask)
                    error = float((a - b).abs().max() / b.abs().max())
                    worst = max(worst, error)
                    print(f"{name} {variant} {updates} {mask}: {error:.1e}")
                    assert a.shape == b.shape and error < 1e-4, (a.shape, b.shape)
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

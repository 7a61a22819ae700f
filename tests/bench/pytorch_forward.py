"""Times PyTorch's vision tower, prompt and decoding on the sizes of `livr bench forward`, random weights.

Prints JSON. Medians; the threads are those of RAYON_NUM_THREADS, as for the other side.
"""

import argparse
import json
import os
import resource
import statistics
import time

import torch
import transformers

args = argparse.ArgumentParser()
args.add_argument("--config", required=True)
args.add_argument("--layers", type=int, default=None)
args.add_argument("--tokens", type=int, default=1024)
args.add_argument("--dtype", default="bf16")
args.add_argument("--attention", default="sdpa", choices=["sdpa", "eager"])
args.add_argument("--decode", type=int, default=8)
args.add_argument("--repeats", type=int, default=5)
args = args.parse_args()

torch.set_num_threads(int(os.environ.get("RAYON_NUM_THREADS", os.cpu_count())))
torch.manual_seed(0)
dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
config = transformers.AutoConfig.for_model(**json.load(open(args.config)))
text, vision = config.text_config, config.vision_config
if args.layers:
    text.num_hidden_layers = min(text.num_hidden_layers, args.layers)
    text.layer_types = None
    vision.depth = min(vision.depth, args.layers)
    if hasattr(vision, "fullatt_block_indexes"):
        vision.fullatt_block_indexes = [i for i in vision.fullatt_block_indexes if i < vision.depth]
    if hasattr(vision, "deepstack_visual_indexes"):
        vision.deepstack_visual_indexes = [i for i in vision.deepstack_visual_indexes if i < vision.depth]
config._attn_implementation = args.attention
if getattr(text, "layer_types", None) is None:
    text.layer_types = ["full_attention"] * text.num_hidden_layers
torch.set_default_dtype(dtype)
model = transformers.AutoModelForImageTextToText.from_config(config, attn_implementation=args.attention, dtype=dtype)
model.eval()


def timed(repeats, work):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


merge = vision.spatial_merge_size
visual = args.tokens * 3 // 4
rows = max(int((visual / 1.5) ** 0.5), 1)
cols = max(visual // rows, 1)
grid = torch.tensor([[1, rows * merge, cols * merge]])
patches = torch.zeros(int(grid.prod()), vision.in_channels * vision.temporal_patch_size * vision.patch_size**2)

with torch.inference_mode():
    vision_secs, _ = timed(args.repeats, lambda: model.model.visual(patches.to(dtype), grid_thw=grid))
    n = args.tokens
    embeds = model.get_input_embeddings()(torch.zeros(1, n, dtype=torch.long))
    positions = torch.arange(n).view(1, 1, n).expand(3, 1, n)
    keep = args.attention == "eager"

    def prompt():
        cache = transformers.DynamicCache()
        out = model.model.language_model(
            inputs_embeds=embeds, position_ids=positions, past_key_values=cache, use_cache=True, output_attentions=keep
        )
        return cache, model.lm_head(out.last_hidden_state[:, -1:]), out.attentions

    prompt_secs, (cache, _, kept) = timed(args.repeats, prompt)
    del kept
    place = [n]

    def token():
        embed = model.get_input_embeddings()(torch.zeros(1, 1, dtype=torch.long))
        at = torch.full((3, 1, 1), place[0])
        place[0] += 1
        out = model.model.language_model(
            inputs_embeds=embed, position_ids=at, past_key_values=cache, use_cache=True, output_attentions=keep
        )
        return model.lm_head(out.last_hidden_state)

    decode_secs, _ = timed(args.decode, token)

print(
    json.dumps(
        {
            "dtype": args.dtype,
            "attention": args.attention,
            "tokens": n,
            "vision_secs": vision_secs,
            "prompt_secs": prompt_secs,
            "decode_secs_per_token": decode_secs,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "threads": torch.get_num_threads(),
        }
    )
)

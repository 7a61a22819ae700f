"""The demo's tokenizer: whole words of its tasks, and pieces for everything else that is written in ASCII.

    python assets/demo/base/tokenizer.py WORDS.txt      # needs `tokenizers`; writes tokenizer.json beside this file

WORDS.txt has the words one per line, the most frequent first.
"""

import pathlib
import string
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
           "<|video_pad|>"]

words = [word for word in pathlib.Path(sys.argv[1]).read_text().split("\n") if word]
chars = [c for c in string.printable if not c.isspace()]
pieces = ["<unk>", *chars, *("##" + c for c in string.ascii_letters + string.digits)]
vocabulary = list(dict.fromkeys([*pieces, *words]))

tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>",
                                       continuing_subword_prefix="##", max_input_chars_per_word=100))
tokenizer.normalizer = normalizers.NFKC()
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
tokenizer.save(str(pathlib.Path(__file__).with_name("tokenizer.json")))
print(tokenizer.get_vocab_size(), {name: tokenizer.token_to_id(name) for name in SPECIAL})

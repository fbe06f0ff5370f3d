"""make_model.py FOLDER: a tiny Llama and a tokenizer in which every word is one token.

The config and the tokenizer alone: vLLM makes the weights up (--load-format dummy)."""

import json
import os
import sys

VOCABULARY = 2048
folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)


def write(name, value):
    with open(os.path.join(folder, name), "w") as file:
        json.dump(value, file)


write("config.json", {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 384,
    "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6,
    "num_key_value_heads": 3, "head_dim": 64, "vocab_size": VOCABULARY,
    "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu", "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 1,
    "tie_word_embeddings": False,
})
vocabulary = {"<s>": 0, "</s>": 1, "<unk>": 2}
vocabulary |= {f"w{number}": number for number in range(3, VOCABULARY)}
special = [
    {"id": number, "content": word, "single_word": False, "lstrip": False, "rstrip": False,
     "normalized": False, "special": True}
    for word, number in list(vocabulary.items())[:3]
]
write("tokenizer.json", {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
    "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
})
write("tokenizer_config.json", {
    "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
    "unk_token": "<unk>", "model_max_length": 8192, "clean_up_tokenization_spaces": False,
    "chat_template": "{% for m in messages %}{{ m['content'] }} {% endfor %}",
})

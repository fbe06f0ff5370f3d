"""make_tokenizer.py FOLDER: the mock server's words as a Hugging Face tokenizer: a word is a token."""

import json
import os
import sys

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
syllables = [consonant + vowel for consonant in "bdfghjklmnprstvz" for vowel in "aeiou"]
words = [first + second for first in syllables for second in syllables]
vocabulary = {word: number for number, word in enumerate(words)}
for word in ["<s>", "</s>", "<unk>"]:
    vocabulary[word] = len(vocabulary)
special = [
    {"id": vocabulary[word], "content": word, "single_word": False, "lstrip": False,
     "rstrip": False, "normalized": False, "special": True}
    for word in ["<s>", "</s>", "<unk>"]
]


def write(name, value):
    with open(os.path.join(folder, name), "w") as file:
        json.dump(value, file)


write("tokenizer.json", {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
    "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
})
write("tokenizer_config.json", {
    "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
    "unk_token": "<unk>", "model_max_length": 131072, "clean_up_tokenization_spaces": False,
    "chat_template": "{% for m in messages %}{{ m['content'] }} {% endfor %}",
})
# Some clients ask for the model's kind before they take its tokenizer.
write("config.json", {"model_type": "llama", "architectures": ["LlamaForCausalLM"],
                      "vocab_size": len(vocabulary), "max_position_embeddings": 131072})

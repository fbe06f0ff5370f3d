"""make_gguf.py OUT.gguf: the tiny Llama of make_model.py with random weights, for llama.cpp."""

import sys

import gguf
import numpy as np

HIDDEN, LAYERS, INTER, VOCABULARY, HEADS, KV_HEADS, WIDTH = 384, 6, 1024, 2048, 6, 3, 64

out = gguf.GGUFWriter(sys.argv[1], "llama")
out.add_context_length(8192)
out.add_embedding_length(HIDDEN)
out.add_block_count(LAYERS)
out.add_feed_forward_length(INTER)
out.add_head_count(HEADS)
out.add_head_count_kv(KV_HEADS)
out.add_layer_norm_rms_eps(1e-5)
out.add_rope_dimension_count(WIDTH)
out.add_rope_freq_base(10000.0)
out.add_vocab_size(VOCABULARY)
out.add_file_type(1)
tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
kinds = [2, 3, 3] + [6] * 256 + [1] * (VOCABULARY - 259)
tokens += [f"\u2581w{number}" for number in range(VOCABULARY - 259)]
out.add_tokenizer_model("llama")
out.add_token_list(tokens)
out.add_token_scores([0.0] * 3 + [-1.0] * (VOCABULARY - 3))
out.add_token_types(kinds)
out.add_bos_token_id(1)
out.add_eos_token_id(2)
out.add_unk_token_id(0)
out.add_add_bos_token(False)

random = np.random.default_rng(1)


def weights(*shape):
    return (random.standard_normal(shape) * 0.02).astype(np.float16)


out.add_tensor("token_embd.weight", weights(VOCABULARY, HIDDEN))
out.add_tensor("output.weight", weights(VOCABULARY, HIDDEN))
out.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
for layer in range(LAYERS):
    name = f"blk.{layer}."
    out.add_tensor(name + "attn_norm.weight", np.ones(HIDDEN, np.float32))
    out.add_tensor(name + "ffn_norm.weight", np.ones(HIDDEN, np.float32))
    out.add_tensor(name + "attn_q.weight", weights(HEADS * WIDTH, HIDDEN))
    out.add_tensor(name + "attn_k.weight", weights(KV_HEADS * WIDTH, HIDDEN))
    out.add_tensor(name + "attn_v.weight", weights(KV_HEADS * WIDTH, HIDDEN))
    out.add_tensor(name + "attn_output.weight", weights(HIDDEN, HEADS * WIDTH))
    out.add_tensor(name + "ffn_gate.weight", weights(INTER, HIDDEN))
    out.add_tensor(name + "ffn_up.weight", weights(INTER, HIDDEN))
    out.add_tensor(name + "ffn_down.weight", weights(HIDDEN, INTER))
out.write_header_to_file()
out.write_kv_data_to_file()
out.write_tensors_to_file()
out.close()

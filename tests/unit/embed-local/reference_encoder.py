"""A sentence encoder in float64, written for clarity: what the encoder of embed-local is compared with.

Needs numpy and safetensors. Sources: the papers of BERT (Devlin et al., 2019), MPNet (Song et al., 2020) and T5
(Raffel et al., 2020, for the buckets of relative positions), and the tensors' names in Hugging Face folders.
"""

import json
import math
import os

import numpy as np
from safetensors.numpy import load_file


class ReferenceEncoder:
    def __init__(self, folder):
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)
        weights = load_file(os.path.join(folder, "model.safetensors"))
        self.weights = {name: value.astype(np.float64) for name, value in weights.items() if value.dtype.kind == "f"}
        self.mpnet = self.config["model_type"] == "mpnet"
        self.heads = self.config["num_attention_heads"]
        pooling = os.path.join(folder, "1_Pooling", "config.json")
        self.first_token_only = False
        if os.path.exists(pooling):
            with open(pooling, encoding="utf-8") as file:
                self.first_token_only = json.load(file)["pooling_mode_cls_token"]

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        scaled = centred / np.sqrt(variance + self.config.get("layer_norm_eps", 1e-12))
        return scaled * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def embed_tokens(self, ids):
        table = self.weights["embeddings.position_embeddings.weight"]
        words = self.weights["embeddings.word_embeddings.weight"][ids]
        if self.mpnet:
            padding = self.config.get("pad_token_id", 1)
            real = np.array(ids) != padding
            return words + table[np.cumsum(real) * real + padding]
        return words + table[: len(ids)] + self.weights["embeddings.token_type_embeddings.weight"][0]

    def position_bias(self, count):
        """MPNet: heads x count x count, by the bucket of each distance."""
        buckets = self.config.get("relative_attention_num_buckets", 32)
        half, exact = buckets // 2, buckets // 4
        table = self.weights["encoder.relative_attention_bias.weight"]
        bias = np.zeros((self.heads, count, count))
        for i in range(count):
            for j in range(count):
                length = abs(j - i)
                bucket = length
                if length >= exact:
                    ratio = np.log(np.float32(length) / np.float32(exact)) / np.float32(math.log(128 / exact))
                    bucket = min(exact + int(np.float32(ratio) * np.float32(half - exact)), half - 1)
                bias[:, i, j] = table[bucket + (half if j > i else 0)]
        return bias

    def attend(self, x, layer):
        names = ("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o")
        if not self.mpnet:
            names = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
        count, hidden = x.shape
        size = hidden // self.heads
        query, key, value = (
            self.linear(x, layer + name).reshape(count, self.heads, size).transpose(1, 0, 2) for name in names[:3]
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(size)
        if self.mpnet:
            scores = scores + self.position_bias(count)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        context = scores / scores.sum(-1, keepdims=True) @ value
        return self.linear(context.transpose(1, 0, 2).reshape(count, hidden), layer + names[3])

    def embed(self, ids):
        """The vector of unit length of a text of these tokens, special ones included."""
        erf = np.vectorize(math.erf)
        x = self.norm(self.embed_tokens(ids), "embeddings.LayerNorm")
        attention_norm = "attention.LayerNorm" if self.mpnet else "attention.output.LayerNorm"
        for number in range(self.config["num_hidden_layers"]):
            layer = f"encoder.layer.{number}."
            x = self.norm(x + self.attend(x, layer), layer + attention_norm)
            inner = self.linear(x, layer + "intermediate.dense")
            inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
            x = self.norm(x + self.linear(inner, layer + "output.dense"), layer + "output.LayerNorm")
        vector = x[0] if self.first_token_only else x.mean(0)
        return vector / np.linalg.norm(vector)

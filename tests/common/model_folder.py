"""Small models of random numbers in Hugging Face's form, for tests: BERT sentence encoders and cross-encoders."""

import array
import json
import math
import pathlib
import random
import struct

WORDS = "the quick brown fox jumps over lazy dog lease house ends in march rent for is due".split()


class Tensors:
    """A safetensors file under way. Numbers repeat, which nothing here minds, and are made once."""

    def __init__(self, seed):
        chance = random.Random(seed)
        self.numbers = array.array("f", (chance.uniform(-1, 1) for _ in range(10007)))
        self.header, self.data, self.at = {}, bytearray(), 0

    def add(self, name, *shape, middle=0.0, spread=1.0):
        count = math.prod(shape)
        start = self.at % 5003
        self.at += count
        numbers = (self.numbers[start:] + self.numbers * (count // len(self.numbers) + 1))[:count]
        if (middle, spread) != (0.0, 1.0):
            scaled = {number: middle + spread * number for number in set(numbers)}
            numbers = array.array("f", map(scaled.__getitem__, numbers))
        begin = len(self.data)
        self.data += numbers.tobytes()
        self.header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, len(self.data)]}

    def linear(self, name, rows, columns):
        self.add(name + ".weight", rows, columns, spread=1.2 / math.sqrt(columns))
        self.add(name + ".bias", rows, spread=0.1)

    def norm(self, name, size):
        self.add(name + ".weight", size, middle=1.0, spread=0.2)
        self.add(name + ".bias", size, spread=0.2)

    def write(self, path):
        header = json.dumps(self.header).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + self.data)


def make(folder, layers=2, hidden=48, heads=4, intermediate=96, positions=128, labels=0, seed=7):
    """Fills `folder`; with labels it is a classifier with so many outputs, with one of them a cross-encoder."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(code) for code in range(0x21, 0x7F) if not chr(code).isupper()]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *("##" + letter for letter in letters), *WORDS[:]]
    vocabulary = list(dict.fromkeys(vocabulary))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    config = {"model_type": "bert", "hidden_size": hidden, "num_attention_heads": heads, "num_hidden_layers": layers,
              "intermediate_size": intermediate, "vocab_size": len(vocabulary), "max_position_embeddings": positions,
              "layer_norm_eps": 1e-12, "hidden_act": "gelu", "type_vocab_size": 2}
    if labels:
        config |= {"architectures": ["BertForSequenceClassification"],
                   "id2label": {str(i): f"LABEL_{i}" for i in range(labels)}}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = Tensors(seed)
    prefix = "bert." if labels else ""
    tensors.add(prefix + "embeddings.word_embeddings.weight", len(vocabulary), hidden)
    tensors.add(prefix + "embeddings.position_embeddings.weight", positions, hidden, spread=0.1)
    tensors.add(prefix + "embeddings.token_type_embeddings.weight", 2, hidden, spread=0.1)
    tensors.norm(prefix + "embeddings.LayerNorm", hidden)
    for number in range(layers):
        layer = f"{prefix}encoder.layer.{number}."
        for part in ("query", "key", "value"):
            tensors.linear(layer + "attention.self." + part, hidden, hidden)
        tensors.linear(layer + "attention.output.dense", hidden, hidden)
        tensors.norm(layer + "attention.output.LayerNorm", hidden)
        tensors.linear(layer + "intermediate.dense", intermediate, hidden)
        tensors.linear(layer + "output.dense", hidden, intermediate)
        tensors.norm(layer + "output.LayerNorm", hidden)
    if labels:
        tensors.linear(prefix + "pooler.dense", hidden, hidden)
        tensors.linear("classifier", labels, hidden)
    tensors.write(folder / "model.safetensors")
    return folder

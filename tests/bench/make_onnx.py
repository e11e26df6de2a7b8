"""Writes a BERT-like sentence encoder as an ONNX file for onnxruntime, in float32 and with its fused operators.

usage: make_onnx.py MODEL_FOLDER OUT.onnx        needs onnx, numpy, safetensors

Inputs input_ids and attention_mask [batch, tokens], output last_hidden_state [batch, tokens, hidden]. The operators
of the domain com.microsoft are those that onnxruntime's own optimiser makes of an exported model.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

FUSED = "com.microsoft"


class Graph:
    """Nodes and constants as they are added; each node's output is the name that add() returns."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes = []
        self.constants = {}

    def constant(self, name, value):
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name, transpose=False):
        return self.constant(name, self.weights[name].T if transpose else self.weights[name])

    def add(self, kind, *inputs, domain="", output=None, **attributes):
        output = output or f"{kind.lower()}-{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output

    def dense(self, x, name):
        return self.add("MatMul", x, self.weight(name + ".weight", transpose=True))

    def add_and_norm(self, x, residual, dense, norm, epsilon, output=None):
        gain, offset = self.weight(norm + ".weight"), self.weight(norm + ".bias")
        bias = self.weight(dense + ".bias")
        return self.add("SkipLayerNormalization", x, residual, gain, offset, bias, domain=FUSED, epsilon=epsilon,
                        output=output)


def embeddings(graph, epsilon):
    weights = graph.weights
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    tokens = graph.add("Gather", graph.add("Shape", "input_ids"), graph.constant("axis-1", np.array([1])), axis=0)
    here = graph.add("Slice", graph.constant("places", places), graph.constant("zero", np.array([0])), tokens,
                     graph.constant("axis-0", np.array([0])))
    words = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids", axis=0)
    norm = "embeddings.LayerNorm"
    return graph.add("LayerNormalization", graph.add("Add", words, here), graph.weight(norm + ".weight"),
                     graph.weight(norm + ".bias"), axis=-1, epsilon=epsilon)


def layer(graph, x, mask, number, heads, epsilon, output):
    name = f"encoder.layer.{number}."
    parts = [name + "attention.self." + part for part in ("query", "key", "value")]
    matrix = graph.constant(name + "qkv", np.hstack([graph.weights[part + ".weight"].T for part in parts]))
    bias = graph.constant(name + "qkv.bias", np.hstack([graph.weights[part + ".bias"] for part in parts]))
    context = graph.add("Attention", x, matrix, bias, mask, domain=FUSED, num_heads=heads)
    dense = name + "attention.output.dense"
    x = graph.add_and_norm(graph.dense(context, dense), x, dense, name + "attention.output.LayerNorm", epsilon)
    inner = graph.dense(x, name + "intermediate.dense")
    inner = graph.add("BiasGelu", inner, graph.weight(name + "intermediate.dense.bias"), domain=FUSED)
    dense = name + "output.dense"
    return graph.add_and_norm(graph.dense(inner, dense), x, dense, name + "output.LayerNorm", epsilon, output)


def make_onnx(folder, path):
    config = json.loads((Path(folder) / "config.json").read_text())
    graph = Graph(load_file(Path(folder) / "model.safetensors"))
    epsilon, layers = float(config["layer_norm_eps"]), config["num_hidden_layers"]
    x = embeddings(graph, epsilon)
    mask = graph.add("Cast", "attention_mask", to=TensorProto.INT32)
    for number in range(layers):
        x = layer(graph, x, mask, number, config["num_attention_heads"], epsilon,
                  "last_hidden_state" if number == layers - 1 else None)
    shape = ["batch", "tokens"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")]
    output = helper.make_tensor_value_info(x, TensorProto.FLOAT, shape + [config["hidden_size"]])
    body = helper.make_graph(graph.nodes, "encoder", inputs, [output], list(graph.constants.values()))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(FUSED, 1)]
    onnx.save(helper.make_model(body, opset_imports=opsets, ir_version=9), str(path))


if __name__ == "__main__":
    make_onnx(*sys.argv[1:3])

"""Computes the reference vectors of a model from its files, in double precision.

    python3 -m venv venv && venv/bin/pip install gguf numpy safetensors tokenizers
    venv/bin/python reference.py ~/.cache/jangbogo/models/all-MiniLM-L6-v2-0.1.0 256 > all-MiniLM-L6-v2.json
    venv/bin/python reference.py ~/.cache/jangbogo/models/multilingual-e5-small-0.3.0 512 > multilingual-e5-small.json
"""

import base64
import json
import math
import sys
from pathlib import Path

import numpy
from gguf import GGUFReader, dequantize
from safetensors.numpy import load_file
from tokenizers import Tokenizer

TEXTS = [
    "red lunch bag",
    "a",
    ".",
    "  ",
    "WHITE HANGING HEART T-LIGHT HOLDER",
    "여름에 입을 시원한 린넨 원피스를 추천해주세요",
    "I'm looking for a 가방 under £20, s'il vous plaît — naïve café",
    "🎁🎈 birthday 🎂",
    "日本の茶碗",
    "Do you have something like the blue retro spot cake cases, but for children's parties and not paper?\nThanks!",
    "supercalifragilisticexpialidocious" * 4,
    "A sturdy wooden picture frame, painted white and sanded by hand, for photographs of ten by fifteen centimetres. " * 6,
    "The set has cups, saucers, plates, a teapot, a milk jug, a sugar bowl and a tray of bamboo. " * 40,
]


def linear(weights, name, rows):
    return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def layer_norm(weights, name, rows, epsilon):
    centred = rows - rows.mean(-1, keepdims=True)
    deviation = numpy.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def softmax(scores):
    exponentials = numpy.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def gelu(values):
    return values * 0.5 * (1 + numpy.vectorize(math.erf)(values / math.sqrt(2)))


def embed(weights, config, ids):
    epsilon, heads = config["layer_norm_eps"], config["num_attention_heads"]
    rows = (
        weights["embeddings.word_embeddings.weight"][ids]
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    rows = layer_norm(weights, "embeddings.LayerNorm", rows, epsilon)
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"

        def split(name):
            projected = linear(weights, f"{layer}.attention.self.{name}", rows)
            return projected.reshape(len(ids), heads, -1).transpose(1, 0, 2)

        query, key, value = split("query"), split("key"), split("value")
        scores = softmax(query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1]))
        context = (scores @ value).transpose(1, 0, 2).reshape(len(ids), -1)
        attended = linear(weights, f"{layer}.attention.output.dense", context)
        rows = layer_norm(weights, f"{layer}.attention.output.LayerNorm", rows + attended, epsilon)
        inner = gelu(linear(weights, f"{layer}.intermediate.dense", rows))
        rows = layer_norm(
            weights, f"{layer}.output.LayerNorm", rows + linear(weights, f"{layer}.output.dense", inner), epsilon
        )
    mean = rows.mean(0)
    return mean / numpy.linalg.norm(mean)


def load(directory):
    if (directory / "model.safetensors").exists():
        return load_file(directory / "model.safetensors")
    return {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in GGUFReader(directory / "model.gguf").tensors}


def main():
    directory = Path(sys.argv[1])
    config = json.loads((directory / "config.json").read_text())
    max_tokens = int(sys.argv[2])
    weights = {name: tensor.astype(numpy.float64) for name, tensor in load(directory).items()}
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    golden = []
    for text in TEXTS:
        whole = len(tokenizer.encode(text).ids)
        tokenizer.enable_truncation(max_tokens)
        ids = tokenizer.encode(text).ids
        tokenizer.no_truncation()
        vector = embed(weights, config, ids)
        golden.append(
            {
                "text": text,
                "tokens": len(ids),
                "truncated": len(ids) < whole,
                "vector": base64.b64encode(vector.astype("<f4").tobytes()).decode(),
            }
        )
    print(json.dumps(golden, ensure_ascii=False, indent=1))


main()

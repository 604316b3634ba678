"""vLLM as the engine: the plug-in by which `vllm serve DIR` knows our models, and our server in front of a vLLM that runs.

`plugin.py` is called by vLLM; `viewer.py`, `worker.py` and `launch.py` are what `dragonfly serve --engine vllm` puts in place of
the engine. Importing the package loads nothing.
"""

"""`dragonfly serve`: an OpenAI-style HTTP API over one `Engine`, and a page that shows where the model looked.

A request passes `gate.py` (who, how much, how long), `schema.py` (what may be said), `images.py` (decoding apart) and `chat.py`;
`worker.py` owns the engine. Needs the extra `serve`, but for `client.py`. Importing the package loads nothing.
"""

"""A small LLaVA-NeXT model that reads close-ups, made of the bundled model: what a lens is measured with."""

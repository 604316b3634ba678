"""A small LLaVA-NeXT model that reads close-ups, made of one that reads sub-images: what a lens is measured with."""

"""Adapted models for other programs: as transformers, peft and ONNX Runtime load them. One file a format.

What is written computes an adapted model's logits divided by its temperature, in float32, so that their softmax are the
probabilities that ``acclimate predict`` gives. Nothing is handed out before it was loaded again as its users will, and
has computed the same on :func:`~acclimate.nn.export.probes.probes`.
"""

"""Adapted models for other programs: as transformers, peft and ONNX Runtime load them. One file a format.

What is written computes an adapted model's logits divided by its temperature, in float32, so that their softmax are the
probabilities that ``acclimate predict`` gives. Each writer gives the lines of Python that use what it wrote; nothing is
handed out before these very lines were run and found the same, see :mod:`acclimate.nn.export.checked`.
"""

"""Fitted models for other programs: what a network computes and what its numbers mean, apart from torch.

A fitted regressor is taken apart into a network that returns the parameters of a mixture in scaled units
(``parameters.py``), a description of what they are parameters of (``components.py``) and a document of everything else
(``document.py``). ``onnx.py`` writes all of it into a folder that ``manymodes.runtime`` reads.
"""

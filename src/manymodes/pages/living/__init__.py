"""The living part of a page: the model itself, in the page, behind sliders.

``weights.py`` turns a network into text, the scripts beside it run it (``special.js``, ``families.js``, ``line.js`` and
``network.js`` compute, ``view.js`` shows), and ``section.py`` makes one section of HTML of all that.
"""

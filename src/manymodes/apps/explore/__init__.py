"""``manymodes explore``: a page on this computer that turns a table into a model, and shows it while it learns.

``session.py`` is what happens (a table, a fit in a thread, its outcome), ``watching.py`` looks at the fit, ``app.py``
and ``guard.py`` are the addresses and who may use them, ``page.py`` and ``explore.js`` what is seen, ``running.py`` the
server.
"""

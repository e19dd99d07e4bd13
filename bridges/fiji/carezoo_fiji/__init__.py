"""carezoo inside ImageJ and Fiji: windows, dialogs and conversion; no numerics, no numeric defaults.

>>> import carezoo_fiji
>>> session = carezoo_fiji.start(headless=True)  # doctest: +SKIP
"""

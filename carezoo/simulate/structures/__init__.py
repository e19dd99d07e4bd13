"""Synthetic structures: each module turns a description with ranges into light in space, seeded.

Lengths are micrometres, positions count from the corner of the field (`carezoo.simulate.rendering`), light is in
arbitrary units. A structure fills the whole field it is given, margins included.
"""

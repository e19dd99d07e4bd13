"""Whether an image looks like those a network was trained on, in numbers and in words.

`describe` measures training images into a plain record that a package carries; `compare` measures an image in the same
way and says how it differs.
"""

from carezoo.likeness.compare import Likeness, compare
from carezoo.likeness.record import Sample, describe

__all__ = ["Likeness", "Sample", "compare", "describe"]

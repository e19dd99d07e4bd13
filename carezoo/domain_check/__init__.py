"""Whether an image looks like those a network was trained on, in numbers and in words.

`describe` measures training images into a plain record that a package carries; `compare` measures an image in the same
way and says how it differs.
"""

from carezoo.domain_check.compare import DomainMatch, compare
from carezoo.domain_check.record import ImageSample, describe

__all__ = ["DomainMatch", "ImageSample", "compare", "describe"]

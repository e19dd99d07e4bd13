"""``python tests/fiji/inside ...``: pytest in a process that Java may be started in, left as carezoo leaves it."""

import sys

import pytest

from carezoo_fiji.leaving import leave

leave(int(pytest.main(sys.argv[1:])))

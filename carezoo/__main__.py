"""``python -m carezoo`` is ``carezoo``."""

from carezoo.cli.main import main

main()

"""The CARE nodes: dialogs, ports and tables. `carezoo_knime` and carezoo itself do the work."""

import knime.extension as knext

CATEGORY = knext.category(
    path="/community",
    level_id="carezoo",
    name="carezoo",
    description="Content-aware restoration (CARE) of fluorescence microscopy images",
    icon="icons/category.png",
)

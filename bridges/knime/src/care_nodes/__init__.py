"""The CARE nodes: dialogs, ports and tables. What they do stands in `carezoo_knime` and carezoo itself."""

import knime.extension as knext

CATEGORY = knext.category(
    path="/community",
    level_id="carezoo",
    name="carezoo",
    description="Content-aware restoration (CARE) of fluorescence microscopy images",
    icon="icons/category.png",
)

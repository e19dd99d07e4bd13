"""What the CARE nodes do, without KNIME: rows of values in, rows of values out. Tested without KNIME, too."""

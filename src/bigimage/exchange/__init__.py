"""Import and export: what is stored, through the formats, with proof of what was kept."""

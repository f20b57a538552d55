"""Pixels in: reading, data folders, trays, alignment, augmentation, statistics, rendering."""

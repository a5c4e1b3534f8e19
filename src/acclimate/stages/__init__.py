"""The stages, one file each: plain functions on typed config, local folders and ports."""

"""Images of a folder with a folder a label, or of Parquet files that hold their bytes."""

from acclimate.adapters.images.folder_files import ENDINGS
from acclimate.adapters.images.reading import holds_parquet, images_below, read_image, read_images

__all__ = ["ENDINGS", "holds_parquet", "images_below", "read_image", "read_images"]

"""Names of the trivial controls: what needs no pretrained model, and anything worth its price must beat."""

TRIVIAL_OF_TEXTS = ("tfidf", "majority")
TRIVIAL_OF_IMAGES = ("pixels", "histogram", "majority")
TRIVIAL = frozenset((*TRIVIAL_OF_TEXTS, *TRIVIAL_OF_IMAGES))

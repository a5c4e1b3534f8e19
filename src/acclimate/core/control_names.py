"""Names of what a candidate is compared with.

Trivial controls need no pretrained model, and anything worth its price must beat them.
"""

TRIVIAL_OF_TEXTS = ("tfidf", "majority")
TRIVIAL_OF_IMAGES = ("pixels", "histogram", "majority")
TRIVIAL_OF_ANSWERS = ("nearest", "majority")
TRIVIAL_OF_PLAIN_TEXT = ("majority",)
TRIVIAL = frozenset((*TRIVIAL_OF_TEXTS, *TRIVIAL_OF_IMAGES, *TRIVIAL_OF_ANSWERS))
#: What the candidate was adapted from: the frozen model with a new head, and the source with its own.
BEFORE_ADAPTING = ("baseline", "source_as_is")
#: Before the seed of a further training of the same arm.
SEED = "seed_"

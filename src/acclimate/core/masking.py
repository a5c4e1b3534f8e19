"""Which tokens of a text are hidden from a masked language model, and behind what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acclimate.core.metrics import BoolArray, IntArray

BEHIND_THE_MASK = 0.8
BEHIND_A_RANDOM_TOKEN = 0.1


@dataclass(frozen=True)
class Masked:
    """A text with some of its tokens hidden.

    Args:
        ids: what the model reads, int64 ``[n]``.
        positions: places of the tokens it is to tell, ascending, int64 ``[k]``; what stood there is the target.
    """

    ids: IntArray
    positions: IntArray


def masked_count(maskable: int, share: float) -> int:
    """How many of a text's tokens are hidden: the share, rounded, and one at least; 0 where none may be.

    Args:
        maskable: tokens that may be hidden.
        share: of these, above 0 and at most 1.
    """
    return min(maskable, max(1, round(share * maskable)))


def masked(
    ids: IntArray,
    maskable: BoolArray,
    *,
    share: float,
    mask_id: int,
    replacements: IntArray,
    rng: np.random.Generator,
) -> Masked:
    """Hide some tokens of a text: of those chosen, 80 % behind the mask, 10 % behind another token, 10 % left.

    Args:
        ids: token ids, int64 ``[n]``; left as they are.
        maskable: which may be chosen, bool ``[n]``: no special tokens.
        share: of them that is chosen, above 0 and at most 1; see :func:`masked_count`.
        mask_id: the mask's token id.
        replacements: token ids of which another token is drawn, each as probable, ``[m]``, m at least 1.
        rng: what is drawn from; the same state gives the same masks.

    Source:
        Devlin et al. 2019 (BERT), section 3.1; the number of tokens as in their ``create_pretraining_data.py``.
    """
    places = np.flatnonzero(maskable)
    positions = np.sort(rng.permutation(places)[: masked_count(len(places), share)])
    fate = rng.random(len(positions))
    others = rng.choice(replacements, len(positions))
    other_or_own = np.where(fate < BEHIND_THE_MASK + BEHIND_A_RANDOM_TOKEN, others, ids[positions])
    read = np.array(ids, dtype=np.int64)
    read[positions] = np.where(fate < BEHIND_THE_MASK, mask_id, other_or_own)
    return Masked(read, positions)

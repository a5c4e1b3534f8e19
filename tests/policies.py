"""Gate policies as the checks see them."""

from acclimate.config_file import built_in_policy
from acclimate.judging import gate_policy

STANDARD, STRICT, MEDICAL = (gate_policy(built_in_policy(name)) for name in ("standard", "strict", "medical"))

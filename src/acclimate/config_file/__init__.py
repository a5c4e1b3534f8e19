"""Reading and writing adaptation.yaml. The sections themselves are in :mod:`acclimate.config`."""

from acclimate.config_file.loading import LoadedConfig, load_config
from acclimate.config_file.paths import project_root, resolve_data_path
from acclimate.config_file.policies import BUILT_IN, built_in_policy, effective_policy, policy_text
from acclimate.config_file.schema import config_schema
from acclimate.config_file.services import check_services
from acclimate.config_file.template import init_yaml, resolved_yaml, write_init

__all__ = [
    "BUILT_IN",
    "LoadedConfig",
    "built_in_policy",
    "check_services",
    "config_schema",
    "effective_policy",
    "init_yaml",
    "load_config",
    "policy_text",
    "project_root",
    "resolve_data_path",
    "resolved_yaml",
    "write_init",
]

"""Projects on disk, see tests/project_fixtures.py."""

from tests.project_fixtures import finished, project

__all__ = ["finished", "project"]

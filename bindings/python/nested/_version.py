"""Version of the package; kept equal to NESTED_VERSION of nested.h by a test."""

__version__ = "1.0.0"

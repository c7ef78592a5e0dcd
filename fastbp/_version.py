"""The version, alone: setuptools reads it without importing the package."""

VERSION = "0.1.0"

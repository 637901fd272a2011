"""Finds the packages: the folder cli is installed as transferkit_cli, a name that ``find`` cannot give it."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["transferkit", "transferkit.*"]), "transferkit_cli"])

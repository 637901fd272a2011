"""Prints the tables of measured ratios: all of them, or those named on the command line.

They assert nothing about time. Each file holds one table and its ``main()``.
"""

import importlib
import sys

TABLES = (
    "analysis",
    "cache",
    "decoding",
    "detection",
    "extraction",
    "opening",
    "finetuning",
    "pretraining",
    "fewshot",
    "knn",
    "linear",
    "demo_probes",
    "memory",
    "semantics",
    "semantic_probe",
    "help",
    "intervals",
)

LONG = ("fewshot_coverage", "families")
"""Tables that take a quarter of an hour or more; they run only if they are named."""


def main(chosen: list[str]) -> None:
    unknown = [name for name in chosen if name not in TABLES + LONG]
    if unknown:
        sys.exit(f"No table named {', '.join(unknown)}. Choose from: {', '.join(TABLES + LONG)}.")
    for name in chosen or TABLES:
        importlib.import_module(f"tests.benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])

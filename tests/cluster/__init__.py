from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
SEED = 1
RAW = 20e12

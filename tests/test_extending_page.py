"""The file on the page about extending is a data set: it opens, and other processes can have its reader."""

import re
import subprocess
import sys

from tests.tree import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")

OPENING = """
import importlib.util, pickle, sys
from pathlib import Path

place = Path(sys.argv[1])
spec = importlib.util.spec_from_file_location("transferkit.data.stripes", place / "stripes.py")
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)

from transferkit.protocols.dataset_catalog import open_dataset

for name, split in open_dataset("stripes", root=place).splits.items():
    reader = pickle.loads(pickle.dumps(split.reader))
    assert len(set(split.ids)) == len(split) == len(split.labels)
    print(name, len(split), {reader.image(row).shape for row in range(len(split))}, len(split.fingerprint))
"""


def test_the_data_set_opens(tmp_path):
    """The code runs in a separate process, so that the name is not registered in other tests."""
    (code,) = re.findall(r"^<!-- stripes -->\n```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "stripes.py").write_text(code, encoding="utf-8")
    command = (sys.executable, "-c", OPENING, str(tmp_path))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "train 60 {(48, 48, 3)} 64",
        "val 20 {(48, 48, 3)} 64",
        "test 40 {(48, 48, 3)} 64",
    ]

import sys
from pathlib import Path

# The application is not installed as a package; its folder is the repository's root.
sys.path.insert(0, str(Path(__file__).parent.parent))

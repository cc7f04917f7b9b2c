"""The command line: one module per subcommand."""

import os

# As for the node: the small linear algebra of scaling must not fight with the network.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

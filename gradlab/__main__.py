"""`python -m gradlab` is `gradlab`."""

import sys

from gradlab.commands.main import main

sys.exit(main())

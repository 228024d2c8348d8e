"""Child processes that may fail, and the locks between processes that measure."""

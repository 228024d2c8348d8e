"""The JSON documents that the command line prints, REST answers and the pages show."""

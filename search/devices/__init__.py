"""The devices of a job: this machine, descriptions, and remote devices behind their agents."""

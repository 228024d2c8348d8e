"""The devices of a job: this machine, device models, and remote devices with an agent."""

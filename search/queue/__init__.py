"""The worker: takes queued jobs, and runs a controller process for each."""

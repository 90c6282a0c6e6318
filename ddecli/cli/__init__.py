"""The command line: one file a subcommand. Parse, check, call, print."""

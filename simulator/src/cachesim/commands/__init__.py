"""The subcommands of `localmodel`, one module each: `add_parser(subparsers)` declares it, `run(arguments)` does it."""

"""Where the ports meet the world: asyncio, the API server, the wall clock, HTTP, the command line."""

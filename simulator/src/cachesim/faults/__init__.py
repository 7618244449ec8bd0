"""What goes wrong in a simulated world: fault plans as data, the sites where they strike, and what they do there."""

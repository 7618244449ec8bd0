"""How the simulator itself is checked: small, wrong changes to the production code, which its campaigns must find."""

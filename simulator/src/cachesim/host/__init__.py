"""What a cluster on this machine is made of: supervised processes, ports, certificates, kubeconfigs."""

"""What the machine is, as its operating system declares it; and what its latencies say it is."""

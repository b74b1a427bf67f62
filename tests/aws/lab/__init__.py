"""An EC2 that boots what it is told to boot, on one machine, without a packet that leaves it."""

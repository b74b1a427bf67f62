"""Workers on EC2 machines, launched from a launch template."""

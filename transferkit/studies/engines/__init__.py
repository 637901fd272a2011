"""What carries out tasks: processes of this machine, or a Ray cluster."""

"""For people without Python: the command line and its report."""

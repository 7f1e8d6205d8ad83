"""The Python API, which notebooks and the command line call: running, measuring, reporting."""

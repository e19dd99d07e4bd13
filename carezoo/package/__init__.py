"""The waist: what a model is on disk. Training ends by writing a package, everything else begins by reading one."""

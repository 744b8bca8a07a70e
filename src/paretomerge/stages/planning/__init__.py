"""`plan`: a recipe as a workload, the clusters it may run on, and this machine, measured."""

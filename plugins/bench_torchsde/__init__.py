"""The reverse-time SDE (Song et al. 2021, eq. 6) by torchsde's solvers."""

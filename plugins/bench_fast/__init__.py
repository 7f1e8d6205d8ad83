"""Fast deterministic samplers: DDIM, Heun, DPM-Solver++, UniPC, DEIS, iPNDM."""

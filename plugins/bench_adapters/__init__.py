"""Samplers of other libraries, unchanged: ``diffusers:<SchedulerClass>``, ``kdiffusion:<function>``."""

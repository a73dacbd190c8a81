"""Pure definitions and arithmetic: units, programs, schedules, kernels. Knows no other room."""

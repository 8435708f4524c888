#pragma once

/** Cores that this process may run on: its affinity mask, not the machine. At least 1. */
int nested_shim_available_cores(void);

#pragma once

#include <stdbool.h>
#include <stddef.h>

/**
 * Memory for tensors: `bytes` at a multiple of `alignment` (a power of two, at least 16), or NULL
 * when there is none. Never from the emergency arena: the caller turns NULL into NESTED_E_NOMEM.
 * Goes back with nested_shim_release().
 */
void *nested_shim_allocate(size_t bytes, size_t alignment);
void nested_shim_release(void *memory);

/**
 * Whether, since the last time it was asked, an allocation made by this thread in the Swift runtime
 * or in C code was met from the emergency arena: then memory is exhausted, and the call in progress
 * must end with NESTED_E_NOMEM.
 */
bool nested_shim_oom_take(void);

/** Bytes of the emergency arena in use now. */
size_t nested_shim_emergency_in_use(void);
/** Whether half of it is: no call should start. */
bool nested_shim_emergency_is_low(void);

#include "parallel_body.h"

/* Swift passes a closure as function and context, and calls the function with the context in its own register. */
typedef __attribute__((swiftcall)) void (*swift_body)(int64_t, __attribute__((swift_context)) void *);

__attribute__((swiftcall)) void nested_shim_parallel_body(
    void *function, void *context, nested_parallel_body *words);

__attribute__((swiftcall)) void nested_shim_parallel_body(
    void *function, void *context, nested_parallel_body *words) {
  words->function = function;
  words->context = context;
}

void nested_shim_parallel_call(nested_parallel_body body, int64_t index) {
  ((swift_body)(uintptr_t)body.function)(index, body.context);
}

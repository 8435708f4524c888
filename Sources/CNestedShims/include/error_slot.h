#pragma once

// What one thread knows about its own calls: the last error, and the models that calls further up its stack
// are reading. Swift has no thread-local variables, and both must work when there is no memory left.
#include <stddef.h>
#include <stdint.h>

enum { NESTED_SLOT_MESSAGE = 384, NESTED_SLOT_PLACE = 192, NESTED_SLOT_DEPTH = 32 };

typedef struct {
  int32_t status;
  int32_t os_error;
  int32_t callback_code;
  int64_t offset;
  const char *function;  // static text, NULL before the first failure
  char message[NESTED_SLOT_MESSAGE];
  char place[NESTED_SLOT_PLACE];
} nested_error_slot;

// The calling thread's slot; the texts are NUL-terminated.
const nested_error_slot *nested_error_slot_get(void);
const char *nested_error_slot_message(void);
const char *nested_error_slot_place(void);

// Copies both texts, cut at a UTF-8 character where they are too long; a newline becomes a blank.
void nested_error_slot_set(
    int32_t status, int32_t os_error, int32_t callback_code, int64_t offset, const char *function,
    const char *message, size_t message_length, const char *place, size_t place_length);

// A number that no other living thread has, never 0.
uint64_t nested_thread_identity(void);

// The stack of objects being read by this thread's calls. push: 0 when it is NESTED_SLOT_DEPTH deep.
int nested_reading_push(const void *object);
void nested_reading_pop(void);
int nested_reading_contains(const void *object);

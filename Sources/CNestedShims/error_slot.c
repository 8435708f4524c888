#include "error_slot.h"

static _Thread_local nested_error_slot slot = {.offset = -1};
static _Thread_local struct {
  int depth;
  const void *objects[NESTED_SLOT_DEPTH];
} reading;

const nested_error_slot *nested_error_slot_get(void) { return &slot; }
const char *nested_error_slot_message(void) { return slot.message; }
const char *nested_error_slot_place(void) { return slot.place; }

static void copy_text(char *to, size_t capacity, const char *from, size_t length) {
  size_t n = from == NULL ? 0 : length;
  if (n > capacity - 1) {
    n = capacity - 1;
    while (n > 0 && ((unsigned char)from[n] & 0xC0) == 0x80) n--;
  }
  for (size_t i = 0; i < n; i++) {
    const char c = from[i];
    to[i] = c == '\n' || c == '\r' || c == '\0' ? ' ' : c;
  }
  to[n] = '\0';
}

void nested_error_slot_set(
    int32_t status, int32_t os_error, int32_t callback_code, int64_t offset, const char *function,
    const char *message, size_t message_length, const char *place, size_t place_length) {
  slot.status = status;
  slot.os_error = os_error;
  slot.callback_code = callback_code;
  slot.offset = offset;
  slot.function = function;
  copy_text(slot.message, sizeof slot.message, message, message_length);
  copy_text(slot.place, sizeof slot.place, place, place_length);
}

uint64_t nested_thread_identity(void) { return (uint64_t)(uintptr_t)&slot; }

int nested_reading_push(const void *object) {
  if (reading.depth >= NESTED_SLOT_DEPTH) return 0;
  reading.objects[reading.depth++] = object;
  return 1;
}

void nested_reading_pop(void) {
  if (reading.depth > 0) reading.depth--;
}

int nested_reading_contains(const void *object) {
  for (int i = 0; i < reading.depth; i++)
    if (reading.objects[i] == object) return 1;
  return 0;
}

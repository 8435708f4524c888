/* A checkpoint's directory: config.json, an index or none, and the tensors. What is accepted is a model like any other.
 *
 * The bytes: two lengths of 16 bits, config.json, the index, and what remains is the safetensors file. Without an index it
 * is model.safetensors, else a.safetensors. */
#include "fuzz.h"

#include <sys/stat.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static char directory[64];
static const char *const names[] = {"config.json", "model.safetensors.index.json", "model.safetensors", "a.safetensors"};

static const char *inside(int i)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, names[i]);
    return path;
}

static void remove_directory(void)
{
    int i;
    for (i = 0; i < 4; i++) unlink(inside(i));
    rmdir(directory);
}

static void write_or_remove(int i, const uint8_t *bytes, size_t size)
{
    FILE *file;
    if (bytes == NULL) {
        unlink(inside(i));
        return;
    }
    file = fopen(inside(i), "wb");
    HOLDS(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

/* Where the three parts end; what the lengths promise beyond the bytes is not there. */
static void split(const uint8_t *data, size_t size, size_t end[3])
{
    uint16_t length[2];
    memcpy(length, data, 4);
    end[0] = (size_t)4 + length[0];
    end[1] = end[0] + length[1];
    if (end[0] > size) end[0] = size;
    if (end[1] > size) end[1] = size;
    end[2] = size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nested_model *model = NULL, *again = NULL;
    nested_blob *saved = NULL, *repeated = NULL;
    nested_session *session = NULL;
    nested_model_info info;
    nested_status status;
    size_t end[3];
    if (size < 4) return 0;
    if (!directory[0]) {
        snprintf(directory, sizeof directory, "%s/nested-fuzz-XXXXXX", memory_folder());
        HOLDS(mkdtemp(directory) != NULL);
        atexit(remove_directory);
    }
    split(data, size, end);
    write_or_remove(0, data + 4, end[0] - 4);
    write_or_remove(1, end[1] > end[0] ? data + end[0] : NULL, end[1] - end[0]);
    write_or_remove(2, end[1] > end[0] ? NULL : data + end[1], end[2] - end[1]);
    write_or_remove(3, end[1] > end[0] ? data + end[1] : NULL, end[2] - end[1]);
    status = answer(nested_model_import(fuzz_context(), directory, NULL, &model));
    if (status < 0) {
        HOLDS(model == NULL && nested_live_handles(NESTED_HANDLE_MODEL) == 0);
        return 0;
    }
    accepted++;
    HOLDS(answer(nested_model_save_blob(model, 0, &saved)) == NESTED_OK);
    status = answer(
        nested_model_load_bytes(fuzz_context(), nested_blob_data(saved), nested_blob_size(saved), 0, &again));
    HOLDS(status == NESTED_OK);
    HOLDS(answer(nested_model_save_blob(again, 0, &repeated)) == NESTED_OK);
    HOLDS(same_blobs(saved, repeated));
    NESTED_INIT(info);
    HOLDS(nested_model_get_info(model, &info) == NESTED_OK && info.kind == NESTED_KIND_TRANSFORMER);
    if (info.vocab >= VOCAB && answer(nested_session_create(model, NULL, &session)) == NESTED_OK) {
        status = answer(nested_session_feed(session, text, LENGTH, NULL, NULL, NULL));
        HOLDS(status == NESTED_OK || status == NESTED_E_LIMIT || status == NESTED_E_NOMEM);
    }
    nested_session_release(session);
    nested_blob_release(saved);
    nested_blob_release(repeated);
    nested_model_release(again);
    nested_model_release(model);
    return 0;
}

/* One of the parts changes, and its length follows; now and then anything does. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static uint8_t part[1 << 16];
    size_t end[3], start, old, room, length;
    uint16_t written;
    unsigned which = seed / 16 % 4 % 3; /* config.json twice as often */
    if (size < 4 || seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
    split(data, size, end);
    start = which == 0 ? 4 : end[which - 1];
    old = end[which] - start;
    room = max_size - size + old;
    if (room > UINT16_MAX) room = UINT16_MAX;
    if (max_size < size || old > room) return LLVMFuzzerMutate(data, size, max_size);
    memcpy(part, data + start, old);
    length = LLVMFuzzerMutate(part, old, room);
    memmove(data + start + length, data + end[which], size - end[which]);
    memcpy(data + start, part, length);
    written = (uint16_t)length;
    if (which < 2) memcpy(data + 2 * which, &written, 2);
    return size - old + length;
}

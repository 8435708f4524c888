/* A model's file, from memory and from disk: both doors say the same; what is accepted survives being saved, and works. */
#include "fuzz.h"
#include "safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nested_model *model = NULL, *from_disk = NULL, *again = NULL;
    nested_blob *saved = NULL, *repeated = NULL;
    nested_session *session = NULL;
    nested_model_info info;
    nested_status status = answer(nested_model_load_bytes(fuzz_context(), data, size, 0, &model));
    HOLDS(answer(nested_model_load(fuzz_context(), file_with(data, size), 0, NULL, &from_disk)) == status);
    if (status < 0) {
        HOLDS(model == NULL && from_disk == NULL && nested_live_handles(NESTED_HANDLE_MODEL) == 0);
        return 0;
    }
    accepted++;
    HOLDS(answer(nested_model_save_blob(model, 0, &saved)) == NESTED_OK);
    HOLDS(answer(nested_model_load_bytes(fuzz_context(), nested_blob_data(saved), nested_blob_size(saved), 0, &again)) == NESTED_OK);
    HOLDS(answer(nested_model_save_blob(from_disk, 0, &repeated)) == NESTED_OK);
    HOLDS(same_blobs(saved, repeated));
    NESTED_INIT(info);
    HOLDS(nested_model_get_info(model, &info) == NESTED_OK);
    if (info.vocab >= VOCAB && answer(nested_session_create(again, NULL, &session)) == NESTED_OK) {
        status = answer(nested_session_feed(session, text, LENGTH, NULL, NULL, NULL));
        HOLDS(status == NESTED_OK || status == NESTED_E_LIMIT || status == NESTED_E_NOMEM);
    }
    nested_session_release(session);
    nested_blob_release(saved);
    nested_blob_release(repeated);
    nested_model_release(again);
    nested_model_release(from_disk);
    nested_model_release(model);
    return 0;
}

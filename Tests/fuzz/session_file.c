/* A session's file, or what its levels learnt, as bytes and by path: both doors say the same; what is accepted survives
 * being written, and goes on: it reads, learns, generates, flushes. */
#include "fuzz.h"
#include "safetensors.h"

static void go_on(nested_session *session)
{
    nested_session_info info;
    nested_level level;
    nested_sampling sampling;
    int32_t out[3];
    nested_status status;
    NESTED_INIT(info);
    HOLDS(nested_session_get_info(session, &info) == NESTED_OK && info.position >= 0);
    NESTED_INIT(level);
    HOLDS(answer(nested_session_level(session, 0, 0, &level)) == NESTED_OK);
    HOLDS(answer(nested_session_feed(session, text, LENGTH, NULL, NULL, NULL)) == NESTED_OK);
    HOLDS(answer(nested_session_set_learn(session, NESTED_LEARN_ON)) == NESTED_OK);
    HOLDS(answer(nested_session_feed(session, text, LENGTH, NULL, NULL, NULL)) == NESTED_OK);
    NESTED_INIT(sampling);
    sampling.temperature = 1;
    sampling.repetition_penalty = 1.5;
    status = answer(nested_session_generate(session, &sampling, 3, NULL, NULL, NULL, out, NULL, NULL));
    HOLDS(status == NESTED_OK || status == NESTED_E_NUMERIC); /* values so large that the logits are not finite */
    HOLDS(status < 0 || (out[0] >= 0 && out[0] < VOCAB));
    HOLDS(answer(nested_session_level_flush(session, -1, -1)) == NESTED_OK);
    NESTED_INIT(info);
    HOLDS(nested_session_get_info(session, &info) == NESTED_OK && info.learn == NESTED_LEARN_ON);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nested_model *model;
    nested_snapshot *snapshot = NULL, *again = NULL;
    nested_session *session = NULL, *from_disk = NULL;
    nested_blob *written = NULL, *repeated = NULL;
    nested_status status;
    if (model == NULL) model = tiny_model();
    status = answer(nested_snapshot_from_bytes(model, data, size, &snapshot));
    HOLDS(answer(nested_session_load(model, file_with(data, size), NULL, &from_disk)) == status);
    if (status < 0) {
        HOLDS(snapshot == NULL && from_disk == NULL && nested_live_handles(NESTED_HANDLE_SNAPSHOT) == 0);
        return 0;
    }
    accepted++;
    HOLDS(answer(nested_snapshot_to_blob(snapshot, &written)) == NESTED_OK);
    HOLDS(answer(nested_snapshot_from_bytes(model, nested_blob_data(written), nested_blob_size(written), &again)) == NESTED_OK);
    HOLDS(answer(nested_snapshot_to_blob(again, &repeated)) == NESTED_OK);
    HOLDS(same_blobs(written, repeated));
    HOLDS(answer(nested_session_create(model, NULL, &session)) == NESTED_OK);
    HOLDS(answer(nested_session_restore(session, again)) == NESTED_OK);
    go_on(session);
    go_on(from_disk);
    nested_session_release(from_disk);
    nested_session_release(session);
    nested_snapshot_release(again);
    nested_snapshot_release(snapshot);
    nested_blob_release(written);
    nested_blob_release(repeated);
    return 0;
}

/* The text of a configuration: refused with a place or an offset, or a configuration that survives its canonical form
 * and, where memory allows, makes a model that reads, learns and trains. */
#include "fuzz.h"

static void use(const nested_config *config)
{
    nested_model *model = NULL;
    nested_session *session = NULL;
    nested_session_options options;
    nested_model_info info;
    nested_feed fed;
    nested_status status = answer(nested_model_create(fuzz_context(), config, 1, &model));
    if (status < 0) {
        HOLDS(status == NESTED_E_LIMIT || status == NESTED_E_NOMEM);
        return;
    }
    NESTED_INIT(info);
    HOLDS(nested_model_get_info(model, &info) == NESTED_OK && info.n_params * 4 == info.weight_bytes);
    NESTED_INIT(options);
    options.learn = NESTED_LEARN_ON;
    NESTED_INIT(fed);
    /* Work per token grows with what the configuration asks for; the limit on memory bounds only the weights. */
    if (info.vocab >= VOCAB && info.n_params < 20000
        && answer(nested_session_create(model, &options, &session)) == NESTED_OK) {
        status = answer(nested_session_feed(session, text, LENGTH, NULL, NULL, &fed));
        HOLDS(status == NESTED_OK || status == NESTED_E_LIMIT || status == NESTED_E_NOMEM);
        HOLDS(status < 0 || fed.n_consumed == LENGTH);
    }
    nested_session_release(session);
    nested_model_release(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nested_config *config = NULL, *again = NULL;
    nested_blob *canonical = NULL, *repeated = NULL;
    nested_status status = answer(nested_config_from_json((const char *)data, size, &config));
    if (status < 0) {
        nested_error e;
        NESTED_INIT(e);
        HOLDS(nested_last_error(&e) == NESTED_OK);
        HOLDS(status != NESTED_E_PARSE || (e.offset >= 0 && (size_t)e.offset <= size));
        HOLDS(config == NULL && nested_live_handles(NESTED_HANDLE_CONFIG) == 0);
        return 0;
    }
    accepted++;
    HOLDS(answer(nested_config_validate(config)) == NESTED_OK);
    HOLDS(answer(nested_config_to_json(config, NULL, &canonical)) == NESTED_OK);
    HOLDS(answer(nested_config_from_json(nested_blob_data(canonical), nested_blob_size(canonical), &again)) == NESTED_OK);
    HOLDS(answer(nested_config_to_json(again, "", &repeated)) == NESTED_OK);
    HOLDS(same_blobs(canonical, repeated));
    use(config);
    nested_blob_release(canonical);
    nested_blob_release(repeated);
    nested_config_release(again);
    nested_config_release(config);
    return 0;
}

/* Sections 11 and 12: the clock and norms of CMS levels, control over them, and consolidation. */
#include "check.h"

static nested_context *context;
static nested_model *model;
static int32_t text[200];

static nested_level look(const nested_session *session, int layer, int level)
{
    nested_level info;
    NESTED_INIT(info);
    OK(nested_session_level(session, layer, level, &info));
    return info;
}

/* Levels 0, 1, 2 have chunks 8, 16, 0; an update falls due when the token after a chunk arrives. */
static void clocks(void)
{
    nested_session *s = make_session(model, NESTED_LEARN_ON);
    int i, layer;
    for (i = 0; i < 50; i++) {
        OK(nested_session_feed(s, text + i, 1, NULL, NULL, NULL));
        for (layer = 0; layer < 2; layer++) {
            nested_level fast = look(s, layer, 0), slow = look(s, layer, 1), fixed = look(s, layer, 2);
            CHECK(fast.n_updates == (uint64_t)(i / 8) && slow.n_updates == (uint64_t)(i / 16) && fixed.n_updates == 0);
            CHECK(fast.last_update == (i / 8 ? i / 8 * 8 : -1) && fast.next_update > i - 1);
            CHECK(fast.chunk == 8 && slow.chunk == 16 && fixed.chunk == 0 && fixed.next_update == -1);
            CHECK((fast.delta_norm > 0) == (i >= 8) && (slow.delta_norm > 0) == (i >= 16) && fixed.delta_norm == 0);
            CHECK(fast.weight_norm > 0 && fast.n_params > 0 && fast.n_skipped == 0 && fast.frozen == 0);
            CHECK((fast.last_grad_norm > 0) == (i >= 8) && (fast.last_update_norm > 0) == (i >= 8));
        }
    }
    nested_session_release(s);
}

static void control(void)
{
    nested_session *s = make_session(model, NESTED_LEARN_ON);
    nested_level_control c;
    nested_level info;
    double lr;
    NESTED_INIT(c);
    c.frozen = 1;
    OK(nested_session_level_control(s, 0, 0, &c));
    OK(nested_session_feed(s, text, 40, NULL, NULL, NULL));
    CHECK(look(s, 0, 0).frozen == 1 && look(s, 0, 0).delta_norm == 0 && look(s, 0, 0).next_update == -1);
    CHECK(look(s, 1, 0).frozen == 0 && look(s, 1, 0).delta_norm > 0);
    c.frozen = -1;
    OK(nested_session_level_control(s, -1, -1, &c));
    OK(nested_session_feed(s, text + 40, 20, NULL, NULL, NULL));
    CHECK(look(s, 0, 0).frozen == 0 && look(s, 0, 0).delta_norm > 0);
    lr = look(s, 0, 0).lr;
    c.frozen = 0;
    c.lr_scale = 0.5;
    OK(nested_session_level_control(s, 0, -1, &c));
    CHECK(fabs(look(s, 0, 0).lr - 0.5 * lr) < 1e-12);

    /* Flush applies what is pending; reset forgets. */
    OK(nested_session_feed(s, text + 60, 3, NULL, NULL, NULL));
    info = look(s, 1, 1);
    OK(nested_session_level_flush(s, -1, -1));
    CHECK(look(s, 1, 1).n_updates == info.n_updates + 1 && look(s, 1, 1).pending_norm == 0);
    OK(nested_session_level_reset(s, 1, 1));
    CHECK(look(s, 1, 1).delta_norm == 0 && look(s, 0, 1).delta_norm > 0);
    OK(nested_session_level_reset(s, -1, -1));
    CHECK(look(s, 0, 1).delta_norm == 0);

    FAILS(NESTED_E_RANGE, nested_session_level(s, 2, 0, &info));
    FAILS(NESTED_E_RANGE, nested_session_level(s, 0, 3, &info));
    FAILS(NESTED_E_RANGE, nested_session_level(s, -1, 0, &info));
    FAILS(NESTED_E_RANGE, nested_session_level(s, 0, INT32_MIN, &info));
    FAILS(NESTED_E_ARGUMENT, nested_session_level(s, 0, 0, NULL));
    FAILS(NESTED_E_RANGE, nested_session_level_control(s, -2, 0, &c));
    FAILS(NESTED_E_ARGUMENT, nested_session_level_control(s, 0, 0, NULL));
    c.frozen = 2;
    FAILS(NESTED_E_RANGE, nested_session_level_control(s, 0, 0, &c));
    c.frozen = 0;
    c.lr_scale = -1;
    FAILS(NESTED_E_RANGE, nested_session_level_control(s, 0, 0, &c));
    c.lr_scale = NAN;
    FAILS(NESTED_E_NUMERIC, nested_session_level_control(s, 0, 0, &c));
    FAILS(NESTED_E_RANGE, nested_session_level_flush(s, 5, 0));
    FAILS(NESTED_E_RANGE, nested_session_level_reset(s, 0, 5));
    nested_session_release(s);
}

static void consolidation(void)
{
    nested_session *s[2], *untouched = make_session(model, NESTED_LEARN_ON), *stranger;
    const nested_session *list[3];
    nested_model *merged = NULL, *same_model = NULL, *reference = make_model(context, 1);
    nested_consolidation options;
    nested_config *config = make_config("{\"kind\":\"hope\",\"vocab\":32,\"d_model\":32,\"n_layers\":1}");
    nested_model *other = NULL;
    double weights[2] = {1, 3};
    float *base, *result;
    size_t n, i, changed = 0;
    nested_tensor_info t;
    int64_t index;
    int k;
    for (k = 0; k < 2; k++) {
        s[k] = make_session(model, NESTED_LEARN_ON);
        OK(nested_session_feed(s[k], text + 70 * k, 70, NULL, NULL, NULL));
        list[k] = s[k];
    }
    NESTED_INIT(options);
    options.session_weights = weights;
    OK(nested_model_consolidate(model, list, 2, &options, NULL, &merged));
    CHECK(same_weights(model, reference) && !same_weights(model, merged));
    read_params(model, &base, &n);
    read_params(merged, &result, &n);
    for (index = 0; index < nested_model_tensor_count(model); index++) {
        NESTED_INIT(t);
        OK(nested_model_tensor_at(model, index, &t));
        for (changed = 0, i = 0; i < t.n_elements; i++)
            changed += base[t.flat_offset + i] != result[t.flat_offset + i];
        CHECK(t.level == 0 || t.level == 1 ? changed > 0 : changed == 0);
    }
    free(base);
    free(result);
    nested_model_release(merged);

    /* Level 1 alone; nothing learnt = the same model. */
    NESTED_INIT(options);
    options.level_mask = 2;
    OK(nested_model_consolidate(model, list, 1, &options, NULL, &merged));
    CHECK(!same_weights(model, merged));
    nested_model_release(merged);
    list[2] = untouched;
    OK(nested_model_consolidate(model, list + 2, 1, NULL, NULL, &same_model));
    CHECK(same_weights(model, same_model));
    nested_model_release(same_model);

    merged = NULL;
    OK(nested_model_create(context, config, 1, &other));
    OK(nested_session_create(other, NULL, &stranger));
    list[2] = stranger;
    FAILS(NESTED_E_MISMATCH, nested_model_consolidate(model, list, 3, NULL, NULL, &merged));
    FAILS(NESTED_E_ARGUMENT, nested_model_consolidate(model, list, 0, NULL, NULL, &merged));
    FAILS(NESTED_E_ARGUMENT, nested_model_consolidate(model, NULL, 2, NULL, NULL, &merged));
    FAILS(NESTED_E_RANGE, nested_model_consolidate(model, list, SIZE_MAX, NULL, NULL, &merged));
    list[2] = NULL;
    FAILS(NESTED_E_HANDLE, nested_model_consolidate(model, list, 3, NULL, NULL, &merged));
    NESTED_INIT(options);
    options.level_mask = 1u << 9;
    FAILS(NESTED_E_RANGE, nested_model_consolidate(model, list, 2, &options, NULL, &merged));
    options.level_mask = 0;
    options.strength = -1;
    FAILS(NESTED_E_RANGE, nested_model_consolidate(model, list, 2, &options, NULL, &merged));
    options.strength = NAN;
    FAILS(NESTED_E_NUMERIC, nested_model_consolidate(model, list, 2, &options, NULL, &merged));
    options.strength = 0;
    options.max_norm = -1;
    FAILS(NESTED_E_RANGE, nested_model_consolidate(model, list, 2, &options, NULL, &merged));
    options.max_norm = 0;
    options.session_weights = weights;
    weights[0] = weights[1] = 0;
    FAILS(NESTED_E_RANGE, nested_model_consolidate(model, list, 2, &options, NULL, &merged));
    weights[1] = -1;
    FAILS(NESTED_E_RANGE, nested_model_consolidate(model, list, 2, &options, NULL, &merged));
    weights[1] = NAN;
    FAILS(NESTED_E_NUMERIC, nested_model_consolidate(model, list, 2, &options, NULL, &merged));
    FAILS(NESTED_E_ARGUMENT, nested_model_consolidate(model, list, 2, NULL, NULL, NULL));
    CHECK(merged == NULL);
    nested_session_release(stranger);
    nested_session_release(untouched);
    nested_session_release(s[0]);
    nested_session_release(s[1]);
    nested_model_release(other);
    nested_model_release(reference);
    nested_config_release(config);
}

int main(void)
{
    context = make_context(1);
    model = make_model(context, 1);
    fill_tokens(text, 200, 13);
    clocks();
    control();
    consolidation();
    nested_model_release(model);
    nested_context_release(context);
    return done();
}

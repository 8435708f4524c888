/* Section 7: named tensors through strided and converting views, and the flat vector. */
#include "check.h"

static nested_context *context;
static nested_model *model;

static void listing(void)
{
    nested_model_info info;
    nested_tensor_info t;
    int64_t i, index, count = nested_model_tensor_count(model);
    uint64_t offset = 0;
    NESTED_INIT(info);
    OK(nested_model_get_info(model, &info));
    CHECK(info.kind == NESTED_KIND_HOPE && info.task == NESTED_TASK_LM && info.n_layers == 2 && info.n_levels == 3);
    CHECK(info.vocab == VOCAB && info.d_model == 32 && info.dtype == NESTED_F32);
    CHECK(info.n_tensors == (uint64_t)count && info.weight_bytes == 4 * info.n_params);
    for (i = 0; i < count; i++) {
        int d;
        uint64_t elements = 1;
        NESTED_INIT(t);
        OK(nested_model_tensor_at(model, i, &t));
        OK(nested_model_tensor_find(model, t.name, &index));
        CHECK(index == i);
        for (d = 0; d < t.ndim; d++) elements *= (uint64_t)t.shape[d];
        CHECK(elements == t.n_elements && t.flat_offset == offset && t.dtype == NESTED_F32);
        CHECK((strncmp(t.name, "blocks.", 7) == 0) == (t.layer >= 0));
        offset += elements;
    }
    CHECK(offset == info.n_params);
    OK(nested_model_tensor_find(model, "blocks.1.cms.2.up.weight", &index));
    NESTED_INIT(t);
    OK(nested_model_tensor_at(model, index, &t));
    CHECK(t.layer == 1 && t.level == 2 && t.ndim == 2 && t.shape[0] == 32 && t.shape[1] == 32);
    index = 99;
    FAILS(NESTED_E_NOT_FOUND, nested_model_tensor_find(model, "blocks.9.cms.2.up.weight", &index));
    FAILS(NESTED_E_ARGUMENT, nested_model_tensor_find(model, NULL, &index));
    FAILS(NESTED_E_ARGUMENT, nested_model_tensor_find(model, "x", NULL));
    CHECK(index == 99);
    FAILS(NESTED_E_RANGE, nested_model_tensor_at(model, -1, &t));
    FAILS(NESTED_E_RANGE, nested_model_tensor_at(model, count, &t));
    FAILS(NESTED_E_RANGE, nested_model_tensor_at(model, INT64_MAX, &t));
    FAILS(NESTED_E_ARGUMENT, nested_model_tensor_at(model, 0, NULL));
}

static void views(void)
{
    float dense[32 * 32], wide[32][40];
    double doubles[32 * 32];
    uint16_t half[32 * 32];
    nested_view v;
    nested_cview c, borrowed;
    int64_t index;
    int i, j;
    nested_model_info before, after;
    NESTED_INIT(before);
    NESTED_INIT(after);

    OK(nested_model_tensor_find(model, "blocks.0.mixer.q.weight", &index));
    v = dense_view(dense, NESTED_F32, 32, 32);
    OK(nested_model_tensor_get(model, index, &v));
    v = dense_view(dense, NESTED_F32, 0, 32 * 32);
    OK(nested_model_tensor_get(model, index, &v));
    v = dense_view(doubles, NESTED_F64, 32, 32);
    OK(nested_model_tensor_get(model, index, &v));
    for (i = 0; i < 32 * 32; i++) CHECK(doubles[i] == (double)dense[i]);

    /* Rows inside a wider array; what is between them stays. */
    memset(wide, 0x55, sizeof wide);
    v = dense_view(wide, NESTED_F32, 32, 32);
    v.strides[0] = 40 * 4;
    v.strides[1] = 4;
    OK(nested_model_tensor_get(model, index, &v));
    for (i = 0; i < 32; i++) {
        unsigned char gap[8 * 4];
        memset(gap, 0x55, sizeof gap);
        CHECK(same(wide[i], dense + 32 * i, 32 * 4) && same(wide[i] + 32, gap, sizeof gap));
    }
    /* Transposed. */
    v = dense_view(doubles, NESTED_F64, 32, 32);
    v.strides[0] = 8;
    v.strides[1] = 32 * 8;
    OK(nested_model_tensor_get(model, index, &v));
    for (i = 0; i < 32; i++)
        for (j = 0; j < 32; j++) CHECK(doubles[j * 32 + i] == (double)dense[i * 32 + j]);

    /* There and back through 16 bits: values that fit survive, others round. */
    OK(nested_model_get_info(model, &before));
    for (i = 0; i < 32 * 32; i++) dense[i] = (float)(i - 512) / 64;
    memcpy(&c, &v, sizeof c);
    c.data = dense;
    c.dtype = NESTED_F32;
    c.strides[0] = c.strides[1] = 0;
    OK(nested_model_tensor_set(model, index, &c));
    OK(nested_model_get_info(model, &after));
    CHECK(after.version > before.version);
    for (j = 0; j < 2; j++) {
        v = dense_view(half, j ? NESTED_BF16 : NESTED_F16, 32, 32);
        OK(nested_model_tensor_get(model, index, &v));
        c.data = half;
        c.dtype = v.dtype;
        OK(nested_model_tensor_set(model, index, &c));
        v = dense_view(doubles, NESTED_F64, 32, 32);
        OK(nested_model_tensor_get(model, index, &v));
        for (i = 0; i < 32 * 32; i++)
            CHECK(fabs(doubles[i] - dense[i]) <= (j ? fabs(dense[i]) / 256 : 0));
    }

    OK(nested_model_tensor_borrow(model, index, &borrowed));
    CHECK(borrowed.dtype == NESTED_F32 && borrowed.ndim == 2 && borrowed.shape[1] == 32 && borrowed.strides[0] == 128);
    CHECK(((const float *)borrowed.data)[5] == (float)doubles[5]);
    FAILS(NESTED_E_ARGUMENT, nested_model_tensor_borrow(model, index, NULL));
    FAILS(NESTED_E_RANGE, nested_model_tensor_borrow(model, -5, &borrowed));
}

static void bad_views(void)
{
    float x[32 * 32 + 1];
    float *a, *b;
    size_t n;
    nested_view v = dense_view(x, NESTED_F32, 32, 32), w;
    nested_cview c;
    int64_t index;
    int bad;
    OK(nested_model_tensor_find(model, "blocks.0.mixer.q.weight", &index));
    read_params(model, &a, &n);
    FAILS(NESTED_E_ARGUMENT, nested_model_tensor_get(model, index, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_model_tensor_set(model, index, NULL));
    FAILS(NESTED_E_RANGE, nested_model_tensor_get(model, 1000, &v));
    for (bad = 0; bad < 16; bad++) {
        nested_status wanted = NESTED_E_SHAPE;
        w = v;
        switch (bad) {
        case 0: w.data = NULL; wanted = NESTED_E_ARGUMENT; break;
        case 1: w.dtype = 0; wanted = NESTED_E_DTYPE; break;
        case 2: w.dtype = NESTED_I32; wanted = NESTED_E_DTYPE; break;
        case 3: w.dtype = 1000; wanted = NESTED_E_DTYPE; break;
        case 4: w.ndim = -1; break;
        case 5: w.ndim = 7; break;
        case 6: w.ndim = 0; break;
        case 7: w.shape[0] = 31; break;
        case 8: w.shape[0] = -32; break;
        case 9: w.shape[0] = INT64_MAX; break;
        case 10: w.shape[0] = w.shape[1] = (int64_t)1 << 39; break;
        case 11: w.strides[0] = 128; w.strides[1] = -4; wanted = NESTED_E_LAYOUT; break;
        case 12: w.strides[0] = 128; w.strides[1] = 2; wanted = NESTED_E_LAYOUT; break;
        case 13: w.strides[0] = 64; w.strides[1] = 4; wanted = NESTED_E_LAYOUT; break;
        case 14: w.strides[0] = INT64_MAX - 3; w.strides[1] = 4; wanted = NESTED_E_LAYOUT; break;
        default: w.data = (char *)x + 1; wanted = NESTED_E_LAYOUT; break;
        }
        FAILS(wanted, nested_model_tensor_get(model, index, &w));
        memcpy(&c, &w, sizeof c);
        FAILS(wanted, nested_model_tensor_set(model, index, &c));
    }
    memset(x, 0, sizeof x);
    x[700] = NAN;
    memcpy(&c, &v, sizeof c);
    FAILS(NESTED_E_NUMERIC, nested_model_tensor_set(model, index, &c));
    x[700] = INFINITY;
    FAILS(NESTED_E_NUMERIC, nested_model_tensor_set(model, index, &c));
    {
        double big[32 * 32] = {0};
        big[3] = 1e300;
        c.data = big;
        c.dtype = NESTED_F64;
        FAILS(NESTED_E_NUMERIC, nested_model_tensor_set(model, index, &c));
    }
    read_params(model, &b, &n);
    CHECK(same(a, b, n * sizeof *a));

    a[n / 2] = NAN;
    FAILS(NESTED_E_NUMERIC, nested_model_params_set(model, a, n));
    FAILS(NESTED_E_SHAPE, nested_model_params_set(model, b, n - 1));
    FAILS(NESTED_E_SHAPE, nested_model_params_set(model, b, 0));
    FAILS(NESTED_E_SHAPE, nested_model_params_set(model, b, SIZE_MAX));
    FAILS(NESTED_E_SHAPE, nested_model_params_get(model, a, n + 1));
    FAILS(NESTED_E_ARGUMENT, nested_model_params_get(model, NULL, n));
    FAILS(NESTED_E_ARGUMENT, nested_model_params_set(model, NULL, n));
    FAILS(NESTED_E_LAYOUT, nested_model_params_set(model, (const float *)((const char *)b + 2), n));
    b[0] += 1;
    OK(nested_model_params_set(model, b, n));
    OK(nested_model_params_get(model, a, n));
    CHECK(same(a, b, n * sizeof *a));
    free(a);
    free(b);
}

static void clones(void)
{
    nested_model *copy = NULL, *fresh = make_model(context, 1), *again = make_model(context, 1),
                 *other = make_model(context, 2);
    nested_config *config = NULL;
    nested_blob *a = NULL, *b = NULL;
    float *x;
    size_t n;
    CHECK(same_weights(fresh, again) && !same_weights(fresh, other));
    OK(nested_model_clone(fresh, &copy));
    CHECK(same_weights(fresh, copy));
    read_params(copy, &x, &n);
    x[1] += 1;
    OK(nested_model_params_set(copy, x, n));
    CHECK(!same_weights(fresh, copy) && same_weights(fresh, again));
    free(x);
    OK(nested_model_get_config(copy, &config));
    OK(nested_config_to_json(config, "", &a));
    nested_config_release(config);
    config = make_config(small_config);
    OK(nested_config_to_json(config, "", &b));
    CHECK(strcmp((const char *)nested_blob_data(a), (const char *)nested_blob_data(b)) == 0);
    nested_config_release(config);
    nested_blob_release(a);
    nested_blob_release(b);
    nested_model_release(copy);
    nested_model_release(fresh);
    nested_model_release(again);
    nested_model_release(other);
    FAILS(NESTED_E_ARGUMENT, nested_model_clone(model, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_model_get_config(model, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_model_get_info(model, NULL));
    FAILS(NESTED_E_HANDLE, nested_model_create(context, NULL, 1, &copy));
    FAILS(NESTED_E_HANDLE, nested_model_create(NULL, NULL, 1, &copy));
    FAILS(NESTED_E_ARGUMENT, nested_model_create(context, NULL, 1, NULL));
}

int main(void)
{
    nested_memory_stats stats;
    context = make_context(2);
    model = make_model(context, 1);
    listing();
    views();
    bad_views();
    clones();
    nested_model_release(model);
    NESTED_INIT(stats);
    OK(nested_context_memory(context, &stats));
    nested_context_release(context);
    return done();
}

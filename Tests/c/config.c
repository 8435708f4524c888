/* Section 6: strict JSON with the place of every error, single keys, canonical form. */
#include "check.h"

static nested_error last(void)
{
    nested_error e;
    NESTED_INIT(e);
    OK(nested_last_error(&e));
    return e;
}

static void bad_config(const char *json, const char *place)
{
    nested_config *config = (nested_config *)&config;
    FAILS(NESTED_E_CONFIG, nested_config_from_json(json, NESTED_NUL_TERMINATED, &config));
    CHECK(config == (nested_config *)&config); /* R6: nothing written */
    if (strcmp(last().place, place) != 0) fprintf(stderr, "%s: place %s\n", json, last().place);
    CHECK(strcmp(last().place, place) == 0);
}

static void bad_text(const char *json, size_t length, int64_t low, int64_t high)
{
    nested_config *config = NULL;
    FAILS(NESTED_E_PARSE, nested_config_from_json(json, length, &config));
    CHECK(config == NULL);
    if (last().offset < low || last().offset > high)
        fprintf(stderr, "%.40s: offset %lld\n", json, (long long)last().offset);
    CHECK(last().offset >= low && last().offset <= high);
}

static void errors(void)
{
    char deep[256];
    char *wide = (char *)malloc((17u << 20) + 1);
    nested_config *config = NULL;
    size_t i;
    bad_config("{}", "/vocab");
    bad_config("{\"kind\":\"hope\",\"vocab\":256,\"width\":3}", "/width");
    bad_config("{\"kind\":\"hop\",\"vocab\":256}", "/kind");
    bad_config("{\"kind\":\"hope\",\"vocab\":\"256\"}", "/vocab");
    bad_config("{\"kind\":\"hope\",\"vocab\":0}", "/vocab");
    bad_config("{\"kind\":\"hope\",\"vocab\":-5}", "/vocab");
    bad_config("{\"kind\":\"hope\",\"vocab\":256,\"memory\":{\"kind\":1}}", "/memory/kind");
    bad_config("{\"kind\":\"hope\",\"vocab\":256,\"memory\":{\"type\":\"wide\"}}", "/memory/type");
    bad_config("{\"kind\":\"hope\",\"vocab\":256,\"cms\":{\"levels\":[{\"chunk\":8},{\"chunk\":9}]}}",
               "/cms/levels/1/chunk");

    bad_text("", 0, 0, 1);
    bad_text("{", 1, 0, 2);
    bad_text("{\"vocab\":256", NESTED_NUL_TERMINATED, 10, 13);
    bad_text("{\"vocab\":256} x", NESTED_NUL_TERMINATED, 12, 16);
    bad_text("{\"vocab\":256,\"vocab\":256}", NESTED_NUL_TERMINATED, 12, 25);
    bad_text("{\"vocab\":NaN}", NESTED_NUL_TERMINATED, 8, 13);
    bad_text("{\"norm_eps\":1e999}", NESTED_NUL_TERMINATED, 11, 18);
    bad_text("{\"vocab\":\xff}", NESTED_NUL_TERMINATED, 8, 11);
    bad_text("{\"kind\":\"h\xc3\x28\"}", NESTED_NUL_TERMINATED, 8, 13);
    bad_text("{\"vocab\"\0:256}", 14, 8, 10);
    bad_text("\xef\xbb\xbf{}", NESTED_NUL_TERMINATED, 0, 4);
    for (i = 0; i < 100; i++) deep[i] = '[';
    deep[100] = '\0';
    bad_text(deep, NESTED_NUL_TERMINATED, 0, 100);
    memset(wide, '[', 17u << 20);
    wide[17u << 20] = '\0';
    FAILS(NESTED_E_RANGE, nested_config_from_json(wide, NESTED_NUL_TERMINATED, &config));
    FAILS(NESTED_E_RANGE, nested_config_from_json(wide, 17u << 20, &config));
    bad_text(wide, 1u << 20, 0, 1 << 20);
    free(wide);
    FAILS(NESTED_E_ARGUMENT, nested_config_from_json(NULL, 0, &config));
    FAILS(NESTED_E_ARGUMENT, nested_config_from_json("{}", 2, NULL));
    FAILS(NESTED_E_RANGE, nested_config_from_json("{}", (size_t)-2, &config));
    FAILS(NESTED_E_RANGE, nested_config_create(77, &config));
    FAILS(NESTED_E_RANGE, nested_config_create(-1, &config));
    FAILS(NESTED_E_ARGUMENT, nested_config_create(NESTED_KIND_HOPE, NULL));
    CHECK(config == NULL);
}

static void keys(void)
{
    nested_config *config = NULL, *copy = NULL;
    nested_blob *a = NULL, *b = NULL;
    int64_t integer = -1;
    double real = -1;

    OK(nested_config_create(NESTED_KIND_HOPE, &config));
    OK(nested_config_validate(config));
    OK(nested_config_get_int(config, "/vocab", &integer));
    CHECK(integer == 256);
    OK(nested_config_set_int(config, "/vocab", 64));
    OK(nested_config_get_int(config, "/vocab", &integer));
    CHECK(integer == 64);
    OK(nested_config_set_float(config, "/memory/eta_max", 0.5));
    OK(nested_config_get_float(config, "/memory/eta_max", &real));
    CHECK(real == 0.5);
    OK(nested_config_get_float(config, "/vocab", &real));
    CHECK(real == 64);
    OK(nested_config_set_string(config, "/memory/type", "mlp"));
    OK(nested_config_set_json(config, "/cms/levels", "[{\"chunk\":8},{\"chunk\":0}]", NESTED_NUL_TERMINATED));
    OK(nested_config_get_int(config, "/cms/levels/0/chunk", &integer));
    CHECK(integer == 8);
    OK(nested_config_validate(config));

    integer = 42;
    FAILS(NESTED_E_NOT_FOUND, nested_config_get_int(config, "/nothing", &integer));
    FAILS(NESTED_E_NOT_FOUND, nested_config_get_int(config, "/cms/levels/2/chunk", &integer));
    FAILS(NESTED_E_CONFIG, nested_config_get_int(config, "/memory/type", &integer));
    FAILS(NESTED_E_CONFIG, nested_config_get_int(config, "/memory/eta_max", &integer));
    FAILS(NESTED_E_ARGUMENT, nested_config_get_int(config, "vocab", &integer));
    FAILS(NESTED_E_ARGUMENT, nested_config_get_int(config, NULL, &integer));
    FAILS(NESTED_E_ARGUMENT, nested_config_get_int(config, "/vocab", NULL));
    CHECK(integer == 42);
    FAILS(NESTED_E_CONFIG, nested_config_set_int(config, "/vocab", -1));
    FAILS(NESTED_E_NOT_FOUND, nested_config_set_int(config, "/nothing", 1));
    FAILS(NESTED_E_NOT_FOUND, nested_config_set_string(config, "/vocab/size", "1"));
    FAILS(NESTED_E_CONFIG, nested_config_set_int(config, "/vocab", INT64_MAX));
    FAILS(NESTED_E_CONFIG, nested_config_set_int(config, "/memory/type", 3));
    FAILS(NESTED_E_CONFIG, nested_config_set_string(config, "/memory/type", "wide"));
    FAILS(NESTED_E_NUMERIC, nested_config_set_float(config, "/memory/eta_max", NAN));
    FAILS(NESTED_E_ARGUMENT, nested_config_set_string(config, "/memory/type", "\xff"));
    FAILS(NESTED_E_ARGUMENT, nested_config_set_string(config, "/memory/type", NULL));
    FAILS(NESTED_E_PARSE, nested_config_set_json(config, "/cms", "{", NESTED_NUL_TERMINATED));
    OK(nested_config_get_int(config, "/vocab", &integer));
    CHECK(integer == 64);

    /* Canonical: what is read back is the same bytes. */
    OK(nested_config_to_json(config, NULL, &a));
    CHECK(((const char *)nested_blob_data(a))[nested_blob_size(a)] == '\0');
    OK(nested_config_from_json((const char *)nested_blob_data(a), nested_blob_size(a), &copy));
    OK(nested_config_to_json(copy, "", &b));
    CHECK(nested_blob_size(a) == nested_blob_size(b));
    CHECK(same(nested_blob_data(a), nested_blob_data(b), nested_blob_size(a)));
    nested_blob_release(b);
    OK(nested_config_to_json(config, "/memory/type", &b));
    CHECK(strcmp((const char *)nested_blob_data(b), "\"mlp\"") == 0);
    nested_blob_release(b);
    b = NULL;
    FAILS(NESTED_E_NOT_FOUND, nested_config_to_json(config, "/x", &b));
    CHECK(b == NULL);
    nested_blob_release(a);
    nested_config_release(copy);
    nested_config_release(config);
}

static void presets(void)
{
    static const char *const names[] = {"paper", "hope-0.1m", "hope-1m", "hope-10m"};
    char json[64];
    size_t i;
    for (i = 0; i < 4; i++) {
        nested_config *config;
        snprintf(json, sizeof json, "{\"preset\":\"%s\",\"vocab\":256}", names[i]);
        config = make_config(json);
        OK(nested_config_validate(config));
        nested_config_release(config);
    }
}

/* What the library has no counterpart for is refused when asked for. */
static void unsupported(void)
{
    nested_config *config = NULL;
    FAILS(NESTED_E_UNSUPPORTED,
          nested_config_from_json("{\"kind\":\"hope\",\"vocab\":8,\"task\":\"classify\",\"cms\":{\"meta\":\"first-order\"}}",
                                  NESTED_NUL_TERMINATED, &config));
    CHECK(config == NULL);
}

int main(void)
{
    errors();
    keys();
    presets();
    unsupported();
    return done();
}

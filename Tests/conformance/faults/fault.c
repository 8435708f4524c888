/*
 * Planted faults, put between a driver and the library with LD_PRELOAD. The suite must fail with each.
 *
 *     gcc -shared -fPIC -DBIT   the lowest bit of one weight of every new model is wrong
 *     gcc -shared -fPIC -DLEAK  the first session that is released is not
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <nested.h>
#include <stdlib.h>

#ifdef BIT
nested_status nested_model_create(
    nested_context *context, const nested_config *config, uint64_t seed, nested_model **out)
{
    nested_status (*create)(nested_context *, const nested_config *, uint64_t, nested_model **) =
        dlsym(RTLD_NEXT, "nested_model_create");
    nested_status status = create(context, config, seed, out);
    nested_model_info info;
    NESTED_INIT(info);
    if (status != NESTED_OK || nested_model_get_info(*out, &info) != NESTED_OK) return status;
    float *weights = malloc(info.n_params * sizeof *weights);
    status = nested_model_params_get(*out, weights, info.n_params);
    *(uint32_t *)(void *)&weights[info.n_params / 2] ^= 1;
    if (status == NESTED_OK) status = nested_model_params_set(*out, weights, info.n_params);
    free(weights);
    return status;
}
#endif

#ifdef LEAK
void nested_session_release(nested_session *session)
{
    static int n_released;
    void (*release)(nested_session *) = dlsym(RTLD_NEXT, "nested_session_release");
    if (n_released++ > 0) release(session);
}
#endif

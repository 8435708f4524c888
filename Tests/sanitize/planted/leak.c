/* A leak in the library, planted from outside: free() of this program forgets what the library gives back while a session
 * goes. `leak` must be reported, `leak none` must not. */
#include "../../c/check.h"

static int forgetful;

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif
#ifdef SANITIZED
void __interceptor_free(void *memory);
static void give_back(void *memory) { __interceptor_free(memory); }
#else
#include <dlfcn.h>
static void give_back(void *memory)
{
    static void (*next)(void *);
    if (next == NULL) next = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    next(memory);
}
#endif

void free(void *memory)
{
    if (!forgetful) give_back(memory);
}

int main(int argc, char **argv)
{
    nested_context *context = make_context(1);
    nested_model *model = make_model(context, 1);
    nested_session *session = make_session(model, NESTED_LEARN_ON);
    int32_t text[20];
    fill_tokens(text, 20, 1);
    OK(nested_session_feed(session, text, 20, NULL, NULL, NULL));
    forgetful = argc < 2 || strcmp(argv[1], "none") != 0;
    nested_session_release(session);
    forgetful = 0;
    nested_model_release(model);
    nested_context_release(context);
    return done();
}
